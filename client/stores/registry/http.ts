/** HTTP with a registry: challenges answered, redirects followed, passing failures tried again, final ones told in words. */

import { Readable } from "node:stream";
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { defined } from "../../../api/defined.ts";
import { describeNoAnswer, systemCode, ThawError } from "../../errors.ts";
import { Authorization } from "./authorization.ts";
import { readText } from "./body.ts";
import { parseChallenges } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import { isLoopback, type RegistryName } from "./name.ts";
import { isPassingError, isPassingStatus, PassingError, parseRetryAfter, waitToRetry } from "./retry.ts";

/** A registry that says nothing for this long is taken for gone. `THAW_STORE_TIMEOUT`: other seconds. */
const silenceMs = 30_000;
const CONNECT_MS = 10_000;
/** What was written last may still be on its way, and a registry may look at all of a blob before it answers. */
const UPLOAD_PATIENCE = 4;
const MAX_REDIRECTS = 5;
const MAX_ERROR_BYTES = 16_384;
const SLICE_BYTES = 64 << 10;

export interface Asked {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  /** Absolute, or a path of the registry's. */
  url: string | URL;
  headers?: Record<string, string>;
  body?: Buffer;
  /** Statuses that are answers; all others are failures. */
  expect: readonly number[];
  push: boolean;
  signal: AbortSignal;
}
/** Its body has to be read, or dumped. `url`: where it came from, behind redirects. */
export interface Answer extends Dispatcher.ResponseData {
  url: URL;
}

export class RegistryHttp {
  readonly name: string;
  readonly #origin: string;
  readonly #dispatcher: Dispatcher;
  readonly #silenceMs: number;
  readonly #authorization: Authorization;
  #hasAnswered = false;

  /** @param place `credentials`: instead of those that are kept; without a repository it is the registry alone that is asked */
  constructor(
    place: Omit<RegistryName, "tag"> & { plainHttp: boolean; credentials?: Credentials | undefined },
  ) {
    const { registry, host, repository, plainHttp, credentials } = place;
    this.name = repository === "" ? registry : `oci:${registry}/${repository}`;
    this.#origin = new URL(`${plainHttp || isLoopback(host) ? "http" : "https"}://${host}`).origin;
    const ms = Number(process.env.THAW_STORE_TIMEOUT) * 1000 || silenceMs;
    this.#silenceMs = ms;
    const options = { connect: { timeout: Math.min(ms, CONNECT_MS) }, headersTimeout: ms, bodyTimeout: ms };
    this.#dispatcher = isLoopback(host) ? new Agent(options) : new EnvHttpProxyAgent(options);
    this.#authorization = new Authorization({
      ...{ name: this.name, registry, repository, origin: this.#origin, dispatcher: this.#dispatcher },
      credentials,
      broken: (error, what) => this.broken(error, what),
    });
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /** As `askOnce`, again while the failure may pass. For requests that may be repeated. */
  async ask(asked: Asked): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.askOnce(asked);
      } catch (error) {
        await waitToRetry(error, tries, asked.signal);
      }
    }
  }

  /** @throws PassingError; ThawError `store-unreachable`, `store-denied`, `not-found`; the signal's reason. */
  async askOnce(asked: Asked): Promise<Answer> {
    let answer = await this.#follow(asked);
    if (answer.statusCode === 401 && answer.url.origin === this.#origin) {
      const challenges = parseChallenges(answer.headers["www-authenticate"]);
      await this.#dump(answer);
      await this.#authorization.answer(challenges, asked);
      answer = await this.#follow(asked);
    }
    if (asked.expect.includes(answer.statusCode)) return answer;
    throw await this.#refusal(asked, answer);
  }

  /** An address that the registry gave in its answer to a request for `from`. @throws ThawError `store-unreachable` for one without TLS. */
  resolve(location: string, from: URL): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch {
      throw new ThawError("store-unreachable", `${this.name} sent an address that is not a URL`);
    }
    const own = new URL(this.#origin);
    // Behind a proxy that ends TLS, registries are known to give their own idea of a scheme.
    if (url.host === own.host && url.protocol === "http:") url.protocol = own.protocol;
    if (url.protocol !== "https:" && !(url.protocol === "http:" && own.protocol === "http:"))
      throw new ThawError("store-unreachable", `${this.name} redirects to ${url.origin}, which is not https`);
    return url;
  }

  /** The words for an interrupted body or connection. */
  broken(error: unknown, what: string): ThawError {
    if (error instanceof ThawError) return error;
    const code = systemCode(error) ?? (error as { code?: string }).code;
    const message = `${this.name}: ${what}: ${describe(error as Error, code)}`;
    const tls = /SSL|wrong version number|EPROTO/i.test(`${(error as Error).message} ${code}`);
    const hint = tls ? "a registry without TLS: --plain-http" : "run the command again to resume";
    return !tls && isPassingError(error, this.#hasAnswered)
      ? new PassingError(message, { hint, cause: error })
      : new ThawError("store-unreachable", message, { hint, cause: error });
  }

  /**
   * Follows redirects: of reads to wherever the registry keeps its blobs, of all else within an origin. Our authorization is sent to the
   * registry's own origin only, and no more once a redirect has led away from it.
   */
  async #follow(asked: Asked): Promise<Answer> {
    const { method } = asked;
    const reads = method === "GET" || method === "HEAD";
    let url = new URL(asked.url, this.#origin);
    let away = url.origin !== this.#origin;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const answer = await this.#request(asked, url, away);
      const { location } = answer.headers;
      const { statusCode } = answer;
      if (![301, 302, 303, 307, 308].includes(statusCode) || typeof location !== "string") return answer;
      await this.#dump(answer);
      const next = this.resolve(location, url);
      if (!reads && next.origin !== url.origin)
        throw new ThawError(
          "store-unreachable",
          `${this.name} redirects a ${method} to ${next.origin}; blobs are not sent there`,
          {
            hint: `if that registry is yours, use its own name: oci:${next.host}/…`,
          },
        );
      if (!reads && statusCode < 307)
        throw new ThawError(
          "store-unreachable",
          `${this.name} answers a ${method} with a redirect ${statusCode}, which would lose its body`,
        );
      away ||= next.origin !== this.#origin;
      url = next;
    }
    throw new ThawError("store-unreachable", `${this.name}: more than ${MAX_REDIRECTS} redirects`);
  }

  async #request(asked: Asked, url: URL, away: boolean): Promise<Answer> {
    const { method, headers, body, push, signal } = asked;
    const authorization = away ? undefined : this.#authorization.current(push);
    try {
      const answer = await request(url, {
        ...{ method, signal, dispatcher: this.#dispatcher },
        headers: {
          ...{ "user-agent": "thaw", ...headers },
          ...defined({ authorization }),
          ...(body === undefined ? {} : { "content-length": String(body.length) }),
        },
        ...(body === undefined
          ? {}
          : {
              body: Readable.from(slices(body), { objectMode: false }),
              headersTimeout: this.#silenceMs * UPLOAD_PATIENCE,
            }),
      });
      this.#hasAnswered = true;
      return Object.assign(answer, { url });
    } catch (error) {
      signal.throwIfAborted();
      throw this.broken(error, "can't be asked");
    }
  }

  /** An answer that nobody reads. One that breaks off in it was an answer all the same. */
  async #dump(answer: Answer): Promise<void> {
    await answer.body.dump().catch(() => {});
  }

  async #refusal({ method, push }: Asked, answer: Answer): Promise<ThawError> {
    const { statusCode, headers, url } = answer;
    const { code, message } = await readRefusal(answer);
    const words = [code, message].filter(Boolean).join(" ");
    const said = `${statusCode}${words === "" ? "" : ` ${words}`}`;
    if (statusCode === 401 || statusCode === 403) return this.#authorization.denied(`answers ${said}`, push);
    const why = `${this.name} answers ${method} ${url.pathname.slice(0, 200)} with ${said}`;
    if (isPassingStatus(statusCode)) {
      const retryAfterMs = parseRetryAfter(headers["retry-after"], Date.now());
      return new PassingError(why, { hint: "run the command again to resume", retryAfterMs });
    }
    if (code === "NAME_UNKNOWN" && push)
      return new ThawError("not-found", why, {
        hint: "in some registries you must create the repository before a push",
      });
    return new RefusedError(why, statusCode);
  }
}

/** A status that was not expected and that trying again does not change. */
export class RefusedError extends ThawError {
  readonly statusCode: number;

  constructor(message: string, statusCode: number) {
    super("store-unreachable", message);
    this.statusCode = statusCode;
  }
}

/** In pieces, so that the time without an answer is counted from the last one that the registry took. */
async function* slices(body: Buffer): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < body.length; at += SLICE_BYTES) yield body.subarray(at, at + SLICE_BYTES);
}

function describe(error: Error, code: string | undefined): string {
  const why = describeNoAnswer(code);
  if (why === undefined) return error.message || String(code);
  return code === "ENOTFOUND" ? `${why}: ${error.message}` : why;
}

/** A registry's own words, as the specification has them. */
async function readRefusal(answer: Answer): Promise<{ code?: string; message?: string }> {
  const text = await readText(answer, MAX_ERROR_BYTES).catch(() => "");
  try {
    const [first] = (JSON.parse(text) as { errors: { code?: unknown; message?: unknown }[] }).errors;
    const words = (value: unknown): string => (typeof value === "string" ? value.slice(0, 300) : "");
    return { code: words(first?.code), message: words(first?.message) };
  } catch {
    return {};
  }
}
