/** An OCI registry as a store (distribution specification 1.1). Blobs go up in chunks, each tried again where the registry says it stands. */
import { createHash } from "node:crypto";
import { ThawError } from "../errors.ts";
import { manifestType, maxManifestBytes } from "./artifact.ts";
import { type Answer, type Asked, RegistryHttp, readBytes } from "./registry-http.ts";
import { type Descriptor, digestOf, type Store } from "./store.ts";

/** Sent in one request, and held in memory until the registry has it. */
const chunkBytes = 16 << 20;
const chunkTries = 3;
const maxTagsBytes = 1 << 20;

export class OciStore implements Store {
  readonly name: string;
  readonly #http: RegistryHttp;
  readonly #path: string;

  private constructor(http: RegistryHttp, repository: string) {
    this.#http = http;
    this.name = http.name;
    this.#path = `/v2/${repository}`;
  }

  static async open(place: { registry: string; repository: string; plainHttp: boolean }): Promise<OciStore> {
    return new OciStore(new RegistryHttp(place), place.repository);
  }

  async getManifest(reference: string, signal: AbortSignal): Promise<Buffer | null> {
    const answer = await this.#ask({
      ...{
        method: "GET",
        url: `${this.#path}/manifests/${reference}`,
        expect: [200, 404],
        push: false,
        signal,
      },
      headers: { accept: manifestType },
    });
    if (answer.statusCode === 404) {
      await answer.body.dump();
      return null;
    }
    const bytes = await readBytes(answer, maxManifestBytes).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#http.broken(error, "a manifest was broken off");
    });
    if (reference.startsWith("sha256:") && digestOf(bytes) !== reference)
      throw new ThawError("store-corrupt", `${this.name} answered with another manifest than ${reference}`);
    return bytes;
  }

  async putManifest(
    bytes: Buffer,
    { tag, mediaType }: { tag: string; mediaType: string },
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#ask({
      ...{
        method: "PUT",
        url: `${this.#path}/manifests/${tag}`,
        body: bytes,
        expect: [201, 202],
        push: true,
        signal,
      },
      headers: { "content-type": mediaType },
    });
    await answer.body.dump();
  }

  async hasBlob({ digest }: Descriptor, signal: AbortSignal): Promise<boolean> {
    const url = `${this.#path}/blobs/${digest}`;
    const answer = await this.#ask({ method: "HEAD", url, expect: [200, 404], push: false, signal });
    await answer.body.dump();
    return answer.statusCode === 200;
  }

  async *readBlob(blob: Descriptor, from: number, signal: AbortSignal): AsyncGenerator<Buffer, void> {
    if (from >= blob.size) return;
    const answer = await this.#ask({
      ...{
        method: "GET",
        url: `${this.#path}/blobs/${blob.digest}`,
        expect: [200, 206, 404],
        push: false,
        signal,
      },
      headers: from === 0 ? {} : { range: `bytes=${from}-` },
    });
    if (answer.statusCode === 404) {
      await answer.body.dump();
      throw new ThawError("store-corrupt", `${this.name} lacks the blob ${blob.digest}`, {
        hint: "push it anew where it came from",
      });
    }
    // One that knows no ranges begins at the beginning.
    let at = answer.statusCode === 206 ? from : 0;
    const ranged =
      answer.statusCode === 206 ? /^bytes (\d+)-/.exec(String(answer.headers["content-range"]))?.[1] : "0";
    if (Number(ranged) !== at)
      throw new ThawError("store-corrupt", `${this.name} answered with another range than it was asked for`);
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const end = at + chunk.length;
        if (end > blob.size)
          throw new ThawError(
            "store-corrupt",
            `${this.name}: the blob ${blob.digest} goes on past its ${blob.size} bytes`,
          );
        if (end > from) yield chunk.subarray(Math.max(0, from - at));
        at = end;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw this.#http.broken(error, `the blob ${blob.digest} was broken off at byte ${at}`);
    }
    if (at !== blob.size)
      throw this.#http.broken(
        new Error("it ended"),
        `the blob ${blob.digest} was broken off at byte ${at} of ${blob.size}`,
      );
  }

  async writeBlob(blob: Descriptor, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const hash = createHash("sha256");
    let upload = await this.#beginUpload(signal);
    let at = 0;
    for await (const chunk of chunked(bytes)) {
      hash.update(chunk);
      upload = await this.#sendChunk(upload, chunk, at, signal);
      at += chunk.length;
    }
    if (at !== blob.size || `sha256:${hash.digest("hex")}` !== blob.digest)
      throw new ThawError("internal", `the blob ${blob.digest} became another while it was sent`);
    upload.searchParams.set("digest", blob.digest);
    const answer = await this.#ask({
      method: "PUT",
      url: upload.href,
      expect: [201, 204],
      push: true,
      signal,
    });
    await answer.body.dump();
  }

  async tags(_artifactType: string, signal: AbortSignal): Promise<string[]> {
    const answer = await this.#ask({
      method: "GET",
      url: `${this.#path}/tags/list?n=50`,
      expect: [200, 404],
      push: false,
      signal,
    });
    const bytes = await readBytes(answer, maxTagsBytes);
    const { tags } = JSON.parse(bytes.toString() || "{}") as { tags?: unknown };
    return Array.isArray(tags) ? tags.filter((tag) => typeof tag === "string") : [];
  }

  async finish(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http.close();
  }

  #ask(asked: Asked): Promise<Answer> {
    return this.#http.ask(asked);
  }

  async #beginUpload(signal: AbortSignal): Promise<URL> {
    const url = `${this.#path}/blobs/uploads/`;
    const answer = await this.#ask({
      method: "POST",
      url,
      body: Buffer.alloc(0),
      expect: [202],
      push: true,
      signal,
    });
    await answer.body.dump();
    return this.#uploadAt(answer, undefined);
  }

  async #sendChunk(upload: URL, chunk: Buffer, at: number, signal: AbortSignal): Promise<URL> {
    let url = upload;
    let sent = 0;
    for (let tries = 1; ; tries++) {
      const rest = chunk.subarray(sent);
      try {
        const answer = await this.#ask({
          ...{ method: "PATCH", url: url.href, body: rest, expect: [202], push: true, signal },
          headers: {
            "content-type": "application/octet-stream",
            "content-range": `${at + sent}-${at + chunk.length - 1}`,
          },
        });
        await answer.body.dump();
        return this.#uploadAt(answer, url);
      } catch (error) {
        if (signal.aborted || tries === chunkTries || (error as ThawError).code !== "store-unreachable")
          throw error;
        // Where it stands: what it took of the chunk is not sent again.
        const answer = await this.#ask({ method: "GET", url: url.href, expect: [204], push: true, signal });
        await answer.body.dump();
        url = this.#uploadAt(answer, url);
        const end = Number(/^0-(\d+)$/.exec(String(answer.headers.range))?.[1] ?? -1) + 1;
        if (end < at || end > at + chunk.length) throw error;
        sent = end - at;
        if (sent === chunk.length) return url;
      }
    }
  }

  #uploadAt(answer: Answer, before: URL | undefined): URL {
    const { location } = answer.headers;
    if (typeof location !== "string") {
      if (before !== undefined) return before;
      throw new ThawError("store-unreachable", `${this.name} does not say where to send a blob`);
    }
    return this.#http.resolve(location);
  }
}

async function* chunked(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of bytes) {
    for (let offset = 0; offset < part.length; ) {
      const piece = part.subarray(offset, offset + chunkBytes - length);
      parts.push(piece);
      length += piece.length;
      offset += piece.length;
      if (length < chunkBytes) continue;
      yield Buffer.concat(parts);
      parts = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(parts);
}
