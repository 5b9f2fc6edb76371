/**
 * Git's smart HTTP with one repository, gitprotocol-http(5): two addresses, no redirect, no other host. Only this file sees the token. Texts of
 * the server are shown without it.
 */

import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { defined } from "../../api/defined.ts";
import { describeNoAnswer, systemCode, ThawError } from "../../client/index.ts";
import { quote } from "../fields.ts";
import { type CodeSource, formsOfToken } from "./source.ts";

const CONNECT_MS = 10_000;
/** A server that says nothing for this long is taken for gone. While it packs, git says something every 5 s. */
const SILENCE_MS = 60_000;

const PATHS = {
  advertisement: "info/refs?service=git-upload-pack",
  result: "git-upload-pack",
} as const;

export interface Place extends Pick<CodeSource, "server" | "repository" | "token"> {
  silenceMs?: number;
}

/** One repository of one server. */
export class RepositoryHttp implements AsyncDisposable {
  /** For people. */
  readonly name: string;
  readonly #base: string;
  readonly #secrets: readonly string[];
  readonly #authorization: string | undefined;
  readonly #dispatcher: Dispatcher;

  constructor({ server, repository, token, silenceMs = SILENCE_MS }: Place) {
    this.name = `${server}/${repository}`;
    this.#base = `${server}/${repository}.git`;
    this.#secrets = formsOfToken(token);
    const basic = this.#secrets.at(-1);
    this.#authorization = basic && `Basic ${basic}`;
    const options = { connect: { timeout: CONNECT_MS }, headersTimeout: silenceMs, bodyTimeout: silenceMs };
    this.#dispatcher = server.startsWith("http:") ? new Agent(options) : new EnvHttpProxyAgent(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /**
   * Asks once. The body that is returned has to be read or left by its reader.
   * @param what `advertisement`: what the server can do; `result`: the answer to `body`
   * @throws ThawError `not-found`, `store-denied`, `store-unreachable`, `store-corrupt`; the signal's reason
   */
  async *ask(
    what: keyof typeof PATHS,
    { body, maxBytes, signal }: { body?: string; maxBytes: number; signal: AbortSignal },
  ): AsyncGenerator<Uint8Array, void> {
    let bytes = 0;
    try {
      const answer = await request(`${this.#base}/${PATHS[what]}`, {
        ...{ method: body === undefined ? "GET" : "POST", signal, dispatcher: this.#dispatcher },
        headers: {
          ...{ "user-agent": "thaw", "git-protocol": "version=2", "accept-encoding": "identity" },
          accept: `application/x-git-upload-pack-${what}`,
          ...(body === undefined ? {} : { "content-type": "application/x-git-upload-pack-request" }),
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        ...defined({ body }),
      });
      // Leaving the loop, by an error too, ends the connection.
      answer.body.on("error", () => {});
      try {
        this.#check(what, answer);
        for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
          bytes += chunk.length;
          if (bytes > maxBytes) throw this.#refused("store-corrupt", `sends more than ${maxBytes} bytes`);
          yield chunk;
        }
      } finally {
        answer.body.destroy();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ThawError) throw error;
      throw this.#refused("store-unreachable", `can't be reached: ${this.show(describe(error as Error))}`);
    }
  }

  /** A text of the server's: short, on one line, without the token. */
  show(text: string): string {
    let shown = text;
    for (const secret of this.#secrets) shown = shown.replaceAll(secret, "***");
    return quote(shown).slice(1, -1);
  }

  #check(what: string, { statusCode, headers }: Dispatcher.ResponseData): void {
    if (statusCode === 401 || statusCode === 403 || statusCode === 404) throw this.#denied(statusCode);
    if (statusCode >= 300 && statusCode < 400)
      throw this.#refused(
        "store-unreachable",
        `redirects (${statusCode}, ${this.show(String(headers.location ?? "no Location header"))}), and redirects are not followed`,
        "if the repository was renamed or moved, give its new name",
      );
    if (statusCode !== 200)
      throw this.#refused("store-unreachable", `answers with status ${statusCode}`, "run the job again");
    const type = String(headers["content-type"] ?? "").split(";")[0];
    if (
      type !== `application/x-git-upload-pack-${what}` ||
      (headers["content-encoding"] ?? "identity") !== "identity"
    )
      throw this.#refused("store-corrupt", "sent an invalid git response", "is `repository` on this server?");
  }

  /** Servers hide what a client may not see behind any of the three. */
  #denied(status: number): ThawError {
    return this.#authorization === undefined
      ? this.#refused(
          "not-found",
          `does not exist or is private (status ${status})`,
          // biome-ignore lint/suspicious/noTemplateCurlyInString: what to type
          "a private repository needs `token`, such as ${{ github.token }} for the workflow's own repository; the token stays on the host",
        )
      : this.#refused(
          "store-denied",
          `does not exist, or the token has no access to it (status ${status})`,
          "the token needs the permission `contents: read` on this repository",
        );
  }

  #refused(
    code: "not-found" | "store-denied" | "store-unreachable" | "store-corrupt",
    why: string,
    hint?: string,
  ) {
    return new ThawError(code, `${this.name} ${why}`, { hint });
  }
}

function describe(error: Error): string {
  return describeNoAnswer(systemCode(error) ?? (error as { code?: string }).code) ?? error.message;
}
