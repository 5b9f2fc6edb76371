/** HTTP with a registry: its challenges answered, its redirects followed, its failures told in words. */
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { systemCode, ThawError } from "../errors.ts";
import { type Credentials, findCredentials } from "./credentials.ts";
import { isLoopback } from "./reference.ts";

/** A registry that says nothing for this long is taken for gone. `THAW_STORE_TIMEOUT`: other seconds. */
const silenceMs = 30_000;
const maxRedirects = 5;
const maxErrorBytes = 16_384;
const maxTokenBytes = 65_536;
/** Answers that may be others the next time. */
const passing = new Set([408, 429, 500, 502, 503, 504]);
const waitsMs = [500, 2000];

export interface Asked {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  /** Absolute, or a path of the registry's. */
  url: string;
  headers?: Record<string, string>;
  body?: Buffer;
  /** Statuses that are answers; all others are failures. */
  expect: readonly number[];
  push: boolean;
  signal: AbortSignal;
}
export type Answer = Dispatcher.ResponseData;

export class RegistryHttp {
  readonly name: string;
  readonly #registry: string;
  readonly #repository: string;
  readonly #origin: string;
  readonly #dispatcher: Dispatcher;
  #credentials: Promise<Credentials | null> | undefined;
  /** By scope. */
  readonly #authorization = new Map<boolean, string>();

  constructor(place: { registry: string; repository: string; plainHttp: boolean }) {
    const { registry, repository, plainHttp } = place;
    this.#registry = registry;
    this.#repository = repository;
    this.name = `oci:${registry}/${repository}`;
    this.#origin = `${plainHttp || isLoopback(registry) ? "http" : "https"}://${registry}`;
    const ms = Number(process.env.THAW_STORE_TIMEOUT) * 1000 || silenceMs;
    const options = { connect: { timeout: Math.min(ms, 10_000) }, headersTimeout: ms, bodyTimeout: ms };
    this.#dispatcher = isLoopback(registry) ? new Agent(options) : new EnvHttpProxyAgent(options);
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /** An address that the registry gave. Blobs and credentials go to the registry itself only. @throws ThawError `store-unreachable`. */
  resolve(location: string): URL {
    const url = new URL(location, this.#origin);
    // Behind a proxy that ends TLS, registries are known to give their own idea of a scheme.
    if (url.host === new URL(this.#origin).host) url.protocol = new URL(this.#origin).protocol;
    if (url.origin !== this.#origin)
      throw new ThawError("store-unreachable", `${this.name} wants blobs sent to ${url.origin}`);
    return url;
  }

  /** @throws ThawError `store-unreachable`, `store-denied`; the signal's reason. The answer's body has to be read, or dumped. */
  async ask(asked: Asked): Promise<Answer> {
    for (const waitMs of [...waitsMs, null]) {
      const answer = await this.#authorized(asked);
      if (asked.expect.includes(answer.statusCode)) return answer;
      if (!passing.has(answer.statusCode) || waitMs === null) throw await this.#refusal(asked, answer);
      await answer.body.dump();
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      asked.signal.throwIfAborted();
    }
    throw new Error("unreachable");
  }

  /** What an interrupted body or connection is, in words. */
  broken(error: unknown, what: string): ThawError {
    if (error instanceof ThawError) return error;
    const code = systemCode(error) ?? (error as { code?: string }).code;
    const why =
      code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT"
        ? "it went silent"
        : code === "UND_ERR_CONNECT_TIMEOUT"
          ? "it does not answer"
          : code === "ECONNREFUSED"
            ? "nobody listens there"
            : (error as Error).message || String(code);
    const tls = /SSL|wrong version number|EPROTO/i.test(`${(error as Error).message} ${code}`);
    return new ThawError("store-unreachable", `${this.name}: ${what}: ${why}`, {
      hint: tls ? "a registry without TLS: --plain-http" : "the same command again goes on where it was",
      cause: error,
    });
  }

  async #authorized(asked: Asked): Promise<Answer> {
    const first = await this.#follow(asked);
    if (first.statusCode !== 401) return first;
    const challenge = String(first.headers["www-authenticate"] ?? "");
    await first.body.dump();
    const authorization = await this.#answerChallenge(challenge, asked);
    if (authorization === null) throw this.#denied("asks for a user and password", asked);
    this.#authorization.set(asked.push, authorization);
    return this.#follow(asked);
  }

  /** Redirects of reads, to wherever the registry keeps its blobs; our authorization stays with the registry. */
  async #follow(asked: Asked): Promise<Answer> {
    const { method, headers, body, push, signal } = asked;
    let url = new URL(asked.url, this.#origin);
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const authorization = this.#authorization.get(push);
      const own = url.origin === this.#origin && authorization !== undefined ? { authorization } : {};
      const answer = await request(url, {
        ...{ method, signal, dispatcher: this.#dispatcher },
        headers: { "user-agent": "thaw", ...headers, ...own },
        body: body ?? null,
      }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw this.broken(error, "can't be asked");
      });
      const { location } = answer.headers;
      const away = answer.statusCode >= 301 && answer.statusCode <= 308 && answer.statusCode !== 304;
      if (!away || typeof location !== "string" || !["GET", "HEAD"].includes(method)) return answer;
      await answer.body.dump();
      const next = new URL(location, url);
      if (next.protocol !== "https:" && next.protocol !== url.protocol)
        throw new ThawError("store-unreachable", `${this.name} leads to ${next.origin}, which is not https`);
      url = next;
    }
    throw new ThawError("store-unreachable", `${this.name}: more than ${maxRedirects} redirects`);
  }

  async #answerChallenge(challenge: string, { push, signal }: Asked): Promise<string | null> {
    this.#credentials ??= findCredentials(this.#registry, this.#repository);
    const credentials = await this.#credentials;
    const basic =
      credentials &&
      `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
    if (/^basic\b/i.test(challenge)) return basic !== this.#authorization.get(push) ? basic : null;
    if (!/^bearer\b/i.test(challenge)) return null;
    const parameters = Object.fromEntries(
      [...challenge.matchAll(/([a-z_]+)="([^"]*)"/gi)].map(([, name = "", value = ""]) => [
        name.toLowerCase(),
        value,
      ]),
    );
    return this.#fetchToken(parameters, { push, signal, credentials, basic });
  }

  /** distribution's token protocol; with an identity token, OAuth2's. */
  async #fetchToken(
    { realm, service }: Record<string, string>,
    about: { push: boolean; signal: AbortSignal; credentials: Credentials | null; basic: string | null },
  ): Promise<string> {
    const { push, signal, credentials, basic } = about;
    const url = new URL(realm ?? "", this.#origin);
    if (url.protocol !== "https:" && !(this.#origin.startsWith("http:") && url.protocol === "http:"))
      throw new ThawError(
        "store-denied",
        `${this.name} wants credentials sent to ${url.origin}, which is not https`,
      );
    const query = new URLSearchParams({
      ...(service === undefined ? {} : { service }),
      scope: `repository:${this.#repository}:${push ? "pull,push" : "pull"}`,
    });
    const refresh = credentials?.identityToken;
    if (refresh === undefined) url.search = query.toString();
    else
      for (const [name, value] of [
        ["grant_type", "refresh_token"],
        ["client_id", "thaw"],
        ["refresh_token", refresh],
      ] as const)
        query.set(name, value);
    const answer = await request(url, {
      ...{ method: refresh === undefined ? "GET" : "POST", signal, dispatcher: this.#dispatcher },
      headers: {
        ...(refresh === undefined && basic !== null ? { authorization: basic } : {}),
        ...(refresh === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      },
      body: refresh === undefined ? null : query.toString(),
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.broken(error, "its token service can't be asked");
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new ThawError(
        "store-denied",
        `${this.name}: ${url.origin} gives no token (${answer.statusCode})`,
        { hint: this.#login },
      );
    }
    const { token, access_token: access } = JSON.parse(await readText(answer, maxTokenBytes)) as Record<
      string,
      string
    >;
    return `Bearer ${token ?? access ?? ""}`;
  }

  async #refusal(asked: Asked, answer: Answer): Promise<ThawError> {
    const { statusCode } = answer;
    const text = await readText(answer, maxErrorBytes).catch(() => "");
    let why = "";
    try {
      const [first] = (JSON.parse(text) as { errors: { code?: string; message?: string }[] }).errors;
      why = [first?.code, first?.message].filter(Boolean).join(" ").slice(0, 300);
    } catch {
      // no registry's own words
    }
    const said = `${statusCode}${why === "" ? "" : ` ${why}`}`;
    if (statusCode === 401 || statusCode === 403) return this.#denied(`answers ${said}`, asked);
    return new ThawError(
      "store-unreachable",
      `${this.name} answers ${asked.method} ${new URL(asked.url, this.#origin).pathname} with ${said}`,
    );
  }

  #denied(how: string, { push }: Asked): ThawError {
    return new ThawError(
      "store-denied",
      `${this.name} ${how}: it does not let you ${push ? "push" : "pull"}`,
      { hint: this.#login },
    );
  }

  get #login(): string {
    return `docker login ${this.#registry}, or podman login ${this.#registry}`;
  }
}

/** A body of at most `limit` bytes. */
export async function readText(answer: Answer, limit: number): Promise<string> {
  return (await readBytes(answer, limit)).toString();
}

export async function readBytes(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit)
      throw new ThawError("store-corrupt", `a registry's answer has more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
