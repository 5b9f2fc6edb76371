/**
 * Sends one blob, which is in memory and at most a piece long: POST, then one PUT. A connection that breaks, a lost answer or a session that
 * the registry forgot costs that blob once more. Where a server refuses so long a body, it is sent in chunks (PATCH).
 */
import { ThawError } from "../../errors.ts";
import type { Descriptor } from "../store.ts";
import { type Answer, type Asked, RefusedError, type RegistryHttp } from "./http.ts";
import { MAX_TRIES, PassingError, waitToRetry } from "./retry.ts";

/** GHCR takes no longer ones; proxies often take 1 MiB at most. */
const CHUNK_SIZES = [4 << 20, 1 << 20];
const TOO_LARGE = 413;
/** The registry knows the upload no more, or stands elsewhere in it. */
const LOST_STATUSES = new Set([400, 404, 416]);

export class Uploads {
  readonly #http: RegistryHttp;
  readonly #path: string;
  readonly #has: (blob: Descriptor, signal: AbortSignal) => Promise<boolean>;
  /** Index into `chunkSizes`; -1: one PUT. What a server refused once it is not sent again. */
  #chunking = -1;

  /** @param path `/v2/REPOSITORY` */
  constructor(
    http: RegistryHttp,
    path: string,
    has: (blob: Descriptor, signal: AbortSignal) => Promise<boolean>,
  ) {
    this.#http = http;
    this.#path = path;
    this.#has = has;
  }

  /** @throws ThawError */
  async send(blob: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#sendOnce(blob, bytes, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (this.#makeSmaller(error, tries)) continue;
        const passing = asPassing(error);
        if (!(passing instanceof PassingError) || tries >= MAX_TRIES) throw error;
        // It may be there: the answer was lost.
        if (await this.#has(blob, signal)) return;
        await waitToRetry(passing, tries, signal);
      }
    }
  }

  async #sendOnce(blob: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    let session = await this.#begin(signal);
    const chunkBytes = CHUNK_SIZES[this.#chunking];
    if (chunkBytes !== undefined && bytes.length > chunkBytes) {
      const length = Math.max(chunkBytes, session.minChunkBytes);
      for (let at = 0; at < bytes.length; at += length)
        session = {
          ...session,
          url: await this.#patch(session.url, bytes.subarray(at, at + length), at, signal),
        };
      bytes = Buffer.alloc(0);
    }
    const url = new URL(session.url);
    url.searchParams.set("digest", blob.digest);
    const headers = { "content-type": "application/octet-stream" };
    await this.#ask({ method: "PUT", url, headers, body: bytes, expect: [201, 204], push: true, signal });
  }

  /** Opens an upload. That may be repeated: the registry forgets uploads that nobody ends. */
  async #begin(signal: AbortSignal): Promise<{ url: URL; minChunkBytes: number }> {
    const asked = {
      url: `${this.#path}/blobs/uploads/`,
      body: Buffer.alloc(0),
      expect: [202],
      push: true,
      signal,
    };
    const answer = await this.#http.ask({ method: "POST", ...asked });
    await answer.body.dump().catch(() => {});
    const minChunkBytes = Number(answer.headers["oci-chunk-min-length"]) || 0;
    return { url: this.#next(answer, undefined), minChunkBytes };
  }

  async #patch(url: URL, chunk: Buffer, at: number, signal: AbortSignal): Promise<URL> {
    const headers = {
      "content-type": "application/octet-stream",
      "content-range": `${at}-${at + chunk.length - 1}`,
    };
    const answer = await this.#ask({
      method: "PATCH",
      url,
      headers,
      body: chunk,
      expect: [202],
      push: true,
      signal,
    });
    return this.#next(answer, url);
  }

  /** The status is the answer: what breaks off behind it changes nothing. */
  async #ask(asked: Asked): Promise<Answer> {
    const answer = await this.#http.askOnce(asked);
    await answer.body.dump().catch(() => {});
    return answer;
  }

  #next(answer: Answer, before: URL | undefined): URL {
    const { location } = answer.headers;
    if (typeof location === "string") return this.#http.resolve(location, answer.url);
    if (before !== undefined) return before;
    throw new ThawError(
      "store-unreachable",
      `${this.#http.name} did not answer with an upload address for a blob`,
    );
  }

  /** After a body that is said to be too long, or that was refused twice for whatever reason. */
  #makeSmaller(error: unknown, tries: number): boolean {
    if (!(error instanceof RefusedError) || (error.statusCode !== TOO_LARGE && tries < 2)) return false;
    if (this.#chunking === CHUNK_SIZES.length - 1) return false;
    this.#chunking += 1;
    return true;
  }
}

function asPassing(error: unknown): unknown {
  if (error instanceof RefusedError && LOST_STATUSES.has(error.statusCode))
    return new PassingError(error.message, { cause: error });
  return error;
}
