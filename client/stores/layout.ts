/** A folder as a store: an OCI image layout (`oci-layout`, `index.json`, `blobs/sha256/…`). */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemCode, ThawError } from "../errors.ts";
import { MAX_MANIFEST_BYTES } from "./artifact.ts";
import { withLock } from "./lock.ts";
import { addToIndex, findInIndex, type Index, layoutFile, parseIndex, tagsOfIndex } from "./oci-index.ts";
import { type Descriptor, digestOf, once, type ReadBytes, type Store } from "./store.ts";

const CHUNK_BYTES = 1 << 20;
const MAX_INDEX_BYTES = 4 << 20;

export class LayoutStore implements Store {
  readonly name: string;
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
    this.name = `dir:${path}`;
  }

  /** @param make make the folder when there is none, as soon as something is written. @throws ThawError `not-found`. */
  static async open(path: string, { make }: { make: boolean }): Promise<LayoutStore> {
    if (!make && (await stat(join(path, "oci-layout")).catch(() => null)) === null)
      throw new ThawError("not-found", `there is no store at ${path}`, {
        hint: `thaw capture push latest dir:${path}`,
      });
    return new LayoutStore(path);
  }

  async getManifest(reference: string, signal: AbortSignal): Promise<Buffer | null> {
    signal.throwIfAborted();
    const digest = reference.startsWith("sha256:") ? reference : findInIndex(await this.#index(), reference);
    if (digest === undefined) return null;
    const bytes = await readBounded(this.#blobPath(digest), MAX_MANIFEST_BYTES);
    if (bytes !== null && digestOf(bytes) !== digest)
      throw new ThawError("store-corrupt", `${this.name}: the manifest ${digest} was altered`);
    return bytes;
  }

  async putManifest(
    bytes: Buffer,
    about: { tag: string; mediaType: string; artifactType: string },
    signal: AbortSignal,
  ): Promise<void> {
    const digest = digestOf(bytes);
    const blob = { mediaType: about.mediaType, digest, size: bytes.length };
    if (!(await this.hasBlob(blob))) await this.writeBlob(blob, () => once(bytes), signal);
    await this.#saying("be written", () =>
      withLock(join(this.#path, ".index.lock"), signal, async () => {
        const index = addToIndex(await this.#index(), { ...about, digest, size: bytes.length });
        await this.#replace("index.json", JSON.stringify(index));
      }),
    );
  }

  async hasBlob({ digest, size }: Descriptor): Promise<boolean> {
    const found = await stat(this.#blobPath(digest)).catch(() => null);
    return found?.isFile() === true && found.size === size;
  }

  async *readBlob(blob: Descriptor, from: number, signal: AbortSignal): AsyncGenerator<Buffer, void> {
    const file = await open(this.#blobPath(blob.digest), "r").catch((error: Error) => {
      throw new ThawError("store-corrupt", `${this.name} lacks the blob ${blob.digest}`, { cause: error });
    });
    try {
      const { size } = await file.stat();
      if (size !== blob.size)
        throw new ThawError(
          "store-corrupt",
          `${this.name}: the blob ${blob.digest} has ${size} bytes, not ${blob.size}`,
        );
      for (let at = from; at < blob.size; ) {
        signal.throwIfAborted();
        const { buffer, bytesRead } = await file.read(
          Buffer.allocUnsafe(CHUNK_BYTES),
          0,
          Math.min(CHUNK_BYTES, blob.size - at),
          at,
        );
        if (bytesRead === 0)
          throw new ThawError("store-corrupt", `${this.name}: the blob ${blob.digest} was cut off`);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async writeBlob(blob: Descriptor, read: ReadBytes, signal: AbortSignal): Promise<void> {
    const target = this.#blobPath(blob.digest);
    const beside = join(this.#path, "blobs", "sha256", `.${randomBytes(8).toString("hex")}`);
    await this.#make();
    await this.#saying("be written", async () => {
      const file = await open(beside, "wx", 0o644);
      try {
        const hash = createHash("sha256");
        for await (const chunk of read()) {
          signal.throwIfAborted();
          hash.update(chunk);
          await file.writeFile(chunk);
        }
        if (`sha256:${hash.digest("hex")}` !== blob.digest)
          throw new ThawError("internal", `the blob ${blob.digest} changed while it was written`);
        await file.sync();
        await file.close();
        await rename(beside, target);
      } finally {
        await file.close().catch(() => {});
        await rm(beside, { force: true });
      }
    });
  }

  async *tags(artifactType: string): AsyncGenerator<string, void> {
    yield* tagsOfIndex(await this.#index(), artifactType);
  }

  async finish(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  async #make(): Promise<void> {
    if ((await stat(join(this.#path, "oci-layout")).catch(() => null)) !== null) return;
    await this.#saying("be made", async () => {
      await mkdir(join(this.#path, "blobs", "sha256"), { recursive: true });
      await this.#replace("oci-layout", layoutFile);
    });
  }

  /** A reader sees the file as it was or as it is now. */
  async #replace(name: string, text: string): Promise<void> {
    const beside = join(this.#path, `.${name}-${randomBytes(6).toString("hex")}`);
    try {
      await writeFile(beside, text, { flush: true });
      await rename(beside, join(this.#path, name));
    } finally {
      await rm(beside, { force: true });
    }
  }

  async #index(): Promise<Index> {
    const bytes = await readBounded(join(this.#path, "index.json"), MAX_INDEX_BYTES);
    return parseIndex(bytes, this.name);
  }

  #blobPath(digest: string): string {
    return join(this.#path, "blobs", "sha256", digest.slice("sha256:".length));
  }

  async #saying<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = systemCode(error);
      if (code === undefined || error instanceof ThawError) throw error;
      throw new ThawError(
        code === "ENOSPC" ? "no-space" : "store-denied",
        `${this.name} can't ${what}: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }
}

async function readBounded(path: string, limit: number): Promise<Buffer | null> {
  const found = await stat(path).catch(() => null);
  if (found === null) return null;
  if (!found.isFile() || found.size > limit)
    throw new ThawError("store-corrupt", `${path} has ${found.size} bytes; the limit is ${limit}`);
  return readFile(path);
}
