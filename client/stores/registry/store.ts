/** An OCI registry as a store (distribution specification 1.1). */
import { ThawError } from "../../errors.ts";
import { artifactTypeOf, MANIFEST_TYPE, MAX_MANIFEST_BYTES } from "../artifact.ts";
import { type Descriptor, digestOf, joinBytes, type ReadBytes, type Store } from "../store.ts";
import { readBytes } from "./body.ts";
import { RegistryHttp } from "./http.ts";
import type { RegistryName } from "./name.ts";
import { listTags } from "./tags.ts";
import { Uploads } from "./upload.ts";

/** Others' manifests are asked for too, so that it can be said what they are. */
const MANIFEST_TYPES = [
  MANIFEST_TYPE,
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
].join(", ");
/** Manifests that are read at a time to tell of what kind they are. */
const MANIFESTS_AT_ONCE = 8;

export class OciStore implements Store {
  readonly name: string;
  /** Sent in one request, held in memory until the registry has it, and sent again when the connection breaks in it. */
  readonly pieceBytes = 16 << 20;
  readonly #http: RegistryHttp;
  readonly #path: string;
  readonly #uploads: Uploads;

  constructor(place: Omit<RegistryName, "tag"> & { plainHttp: boolean }) {
    this.#http = new RegistryHttp(place);
    this.name = this.#http.name;
    this.#path = `/v2/${place.repository}`;
    this.#uploads = new Uploads(this.#http, this.#path, (blob, signal) => this.hasBlob(blob, signal));
  }

  async getManifest(reference: string, signal: AbortSignal): Promise<Buffer | null> {
    const url = `${this.#path}/manifests/${reference}`;
    const headers = { accept: MANIFEST_TYPES };
    const answer = await this.#http.ask({
      method: "GET",
      url,
      headers,
      expect: [200, 404],
      push: false,
      signal,
    });
    if (answer.statusCode === 404) {
      await answer.body.dump();
      return null;
    }
    const bytes = await readBytes(answer, MAX_MANIFEST_BYTES).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#http.broken(error, "a manifest was broken off");
    });
    if (reference.startsWith("sha256:") && digestOf(bytes) !== reference)
      throw new ThawError("store-corrupt", `${this.name} sent a manifest that is not ${reference}`);
    return bytes;
  }

  async putManifest(
    body: Buffer,
    { tag, mediaType }: { tag: string; mediaType: string },
    signal: AbortSignal,
  ): Promise<void> {
    const url = `${this.#path}/manifests/${tag}`;
    const headers = { "content-type": mediaType };
    const answer = await this.#http.ask({
      method: "PUT",
      url,
      headers,
      body,
      expect: [200, 201, 202],
      push: true,
      signal,
    });
    await answer.body.dump().catch(() => {});
  }

  async hasBlob({ digest }: Descriptor, signal: AbortSignal): Promise<boolean> {
    const url = `${this.#path}/blobs/${digest}`;
    const answer = await this.#http.ask({ method: "HEAD", url, expect: [200, 404], push: false, signal });
    await answer.body.dump().catch(() => {});
    return answer.statusCode === 200;
  }

  async *readBlob(blob: Descriptor, from: number, signal: AbortSignal): AsyncGenerator<Buffer, void> {
    if (from >= blob.size) return;
    const url = `${this.#path}/blobs/${blob.digest}`;
    const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
    const answer = await this.#http.ask({
      method: "GET",
      url,
      headers,
      expect: [200, 206, 404],
      push: false,
      signal,
    });
    if (answer.statusCode === 404) {
      await answer.body.dump();
      throw new ThawError("store-corrupt", `${this.name} lacks the blob ${blob.digest}`, {
        hint: "push it again from the host that made it",
      });
    }
    // One that knows no ranges begins at the beginning.
    let at = answer.statusCode === 206 ? from : 0;
    const ranged =
      answer.statusCode === 206 ? /^bytes (\d+)-/.exec(String(answer.headers["content-range"]))?.[1] : "0";
    if (Number(ranged) !== at)
      throw new ThawError("store-corrupt", `${this.name} sent another range than requested`);
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const end = at + chunk.length;
        if (end > blob.size)
          throw new ThawError(
            "store-corrupt",
            `${this.name}: the blob ${blob.digest} is longer than its ${blob.size} bytes`,
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

  async writeBlob(blob: Descriptor, read: ReadBytes, signal: AbortSignal): Promise<void> {
    const bytes = await joinBytes(read(), blob.size);
    if (bytes.length !== blob.size || digestOf(bytes) !== blob.digest)
      throw new ThawError("internal", `the blob ${blob.digest} changed while it was sent`);
    await this.#uploads.send(blob, bytes, signal);
  }

  /** Reads manifests to tell, a few at a time, since lists of tags don't say of what kind they are. */
  async *tags(artifactType: string, signal: AbortSignal): AsyncGenerator<string, void> {
    let batch: string[] = [];
    const ours = async (): Promise<string[]> => {
      const types = await Promise.all(batch.map((tag) => this.#typeOf(tag, signal)));
      return batch.filter((_, index) => types[index] === artifactType);
    };
    for await (const tag of listTags(this.#http, this.#path, signal)) {
      batch.push(tag);
      if (batch.length < MANIFESTS_AT_ONCE) continue;
      yield* await ours();
      batch = [];
    }
    yield* await ours();
  }

  async finish(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http.close();
  }

  /** Null for what is too large or not readable: it is somebody else's. */
  async #typeOf(tag: string, signal: AbortSignal): Promise<string | null> {
    try {
      const bytes = await this.getManifest(tag, signal);
      return bytes === null ? null : artifactTypeOf(bytes);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ThawError && error.code === "store-corrupt") return null;
      throw error;
    }
  }
}
