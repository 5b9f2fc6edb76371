/** One file as a store: a tar of an OCI image layout. Written once from front to back; read as somebody else's: only names that belong there. */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { systemCode, ThawError } from "../errors.ts";
import { MAX_MANIFEST_BYTES } from "./artifact.ts";
import { addToIndex, findInIndex, type Index, layoutFile, parseIndex, tagsOfIndex } from "./oci-index.ts";
import { type Descriptor, digestOf, type ReadBytes, type Store } from "./store.ts";
import { BLOCK_BYTES, readTarHeader, tarHeader, tarPadding } from "./ustar.ts";

const CHUNK_BYTES = 1 << 20;
const MAX_ENTRIES = 4000;
const MAX_INDEX_BYTES = 4 << 20;
const BLOB_PREFIX = "blobs/sha256/";
const EXPECTED = /^(oci-layout|index\.json|blobs\/sha256\/[0-9a-f]{64})$/;
const FOLDERS = /^(blobs|blobs\/sha256)\/?$/;

interface Place {
  at: number;
  size: number;
}

/** What both ways share: blobs are places in the file. */
abstract class Archive {
  readonly name: string;
  protected readonly path: string;
  protected readonly file: FileHandle;
  protected readonly places: Map<string, Place>;
  protected index: Index;

  protected constructor(path: string, file: FileHandle, places: Map<string, Place>, index: Index) {
    this.path = path;
    this.name = path;
    this.file = file;
    this.places = places;
    this.index = index;
  }

  async getManifest(reference: string): Promise<Buffer | null> {
    const digest = reference.startsWith("sha256:") ? reference : findInIndex(this.index, reference);
    const place = digest === undefined ? undefined : this.places.get(nameOf(digest));
    if (place === undefined) return null;
    const bytes = await readPlace(this.file, place, MAX_MANIFEST_BYTES, this.name);
    if (digestOf(bytes) !== digest)
      throw new ThawError("store-corrupt", `${this.name}: the manifest ${digest} was altered`);
    return bytes;
  }

  async hasBlob({ digest, size }: Descriptor): Promise<boolean> {
    return this.places.get(nameOf(digest))?.size === size;
  }

  async *readBlob(blob: Descriptor, from: number, signal: AbortSignal): AsyncGenerator<Buffer, void> {
    const place = this.places.get(nameOf(blob.digest));
    if (place?.size !== blob.size)
      throw new ThawError(
        "store-corrupt",
        `${this.name} lacks the blob ${blob.digest} of ${blob.size} bytes`,
      );
    for (let at = from; at < place.size; ) {
      signal.throwIfAborted();
      const length = Math.min(CHUNK_BYTES, place.size - at);
      const { buffer, bytesRead } = await this.file.read(
        Buffer.allocUnsafe(CHUNK_BYTES),
        0,
        length,
        place.at + at,
      );
      if (bytesRead === 0) throw new ThawError("store-corrupt", `${this.name} was cut off`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async *tags(artifactType: string): AsyncGenerator<string, void> {
    yield* tagsOfIndex(this.index, artifactType);
  }
}

/** An archive to read from. */
export class ArchiveReader extends Archive implements Store {
  /** Looks at every header. @throws ThawError `not-found`, `store-corrupt`. */
  static async open(path: string): Promise<ArchiveReader> {
    const file = await open(path, "r").catch((error: Error) => {
      throw new ThawError("not-found", `can't read ${path}: ${error.message}`, { cause: error });
    });
    try {
      const places = await scan(file, path);
      const found = places.get("index.json");
      if (found === undefined || !places.has("oci-layout"))
        throw new ThawError(
          "store-corrupt",
          `${path} is not an archive written by thaw: it has no index.json`,
        );
      const index = parseIndex(await readPlace(file, found, MAX_INDEX_BYTES, path), path);
      return new ArchiveReader(path, file, places, index);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  putManifest(): Promise<void> {
    return Promise.reject(readOnly(this.path));
  }

  writeBlob(): Promise<void> {
    return Promise.reject(readOnly(this.path));
  }

  async finish(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}

/** An archive in the making: it has its name when it is whole. */
export class ArchiveWriter extends Archive implements Store {
  readonly #beside: string;
  #at = 0;
  #finished = false;

  private constructor(path: string, beside: string, file: FileHandle) {
    super(path, file, new Map(), parseIndex(null, path));
    this.#beside = beside;
  }

  /** @throws ThawError `store-denied` when the file can't be made. */
  static async create(path: string): Promise<ArchiveWriter> {
    const beside = `${path}.${randomBytes(4).toString("hex")}.part`;
    const file = await open(beside, "wx+", 0o600).catch((error: Error) => {
      throw new ThawError("store-denied", `can't write ${path}: ${error.message}`, { cause: error });
    });
    const writer = new ArchiveWriter(path, beside, file);
    await writer.#entry("oci-layout", Buffer.from(layoutFile));
    return writer;
  }

  async putManifest(
    bytes: Buffer,
    about: { tag: string; mediaType: string; artifactType: string },
  ): Promise<void> {
    const digest = digestOf(bytes);
    if (!this.places.has(nameOf(digest))) await this.#entry(nameOf(digest), bytes);
    this.index = addToIndex(this.index, { ...about, digest, size: bytes.length });
  }

  async writeBlob(blob: Descriptor, read: ReadBytes, signal: AbortSignal): Promise<void> {
    await this.#write(tarHeader(nameOf(blob.digest), blob.size));
    const at = this.#at;
    const hash = createHash("sha256");
    for await (const chunk of read()) {
      signal.throwIfAborted();
      hash.update(chunk);
      await this.#write(chunk);
    }
    if (this.#at - at !== blob.size || `sha256:${hash.digest("hex")}` !== blob.digest)
      throw new ThawError("internal", `the blob ${blob.digest} changed while it was written`);
    await this.#write(Buffer.alloc(tarPadding(blob.size)));
    this.places.set(nameOf(blob.digest), { at, size: blob.size });
  }

  async finish(): Promise<void> {
    await this.#entry("index.json", Buffer.from(JSON.stringify(this.index)));
    await this.#write(Buffer.alloc(2 * BLOCK_BYTES));
    await this.file.sync();
    await rename(this.#beside, this.path);
    this.#finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
    if (!this.#finished) await rm(this.#beside, { force: true });
  }

  async #entry(name: string, bytes: Buffer): Promise<void> {
    await this.#write(tarHeader(name, bytes.length));
    this.places.set(name, { at: this.#at, size: bytes.length });
    await this.#write(Buffer.concat([bytes, Buffer.alloc(tarPadding(bytes.length))]));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.file.writeFile(bytes);
    } catch (error) {
      const code = systemCode(error) === "ENOSPC" ? "no-space" : "store-denied";
      throw new ThawError(code, `can't write ${this.path}: ${(error as Error).message}`, { cause: error });
    }
    this.#at += bytes.length;
  }
}

async function scan(file: FileHandle, path: string): Promise<Map<string, Place>> {
  const no = (why: string): ThawError =>
    new ThawError("store-corrupt", `${path} ${why}`, {
      hint: "use a file written by thaw capture export or thaw snapshot export",
    });
  const { size: total } = await file.stat();
  const places = new Map<string, Place>();
  const header = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0, entries = 0; ; entries++) {
    if (entries > MAX_ENTRIES) throw no(`has more than ${MAX_ENTRIES} entries`);
    const { bytesRead } = await file.read(header, 0, BLOCK_BYTES, at);
    if (bytesRead < BLOCK_BYTES) throw no("was cut off: it has no end");
    const entry = readTarHeader(header);
    if ("end" in entry) return places;
    if ("fault" in entry) throw no(entry.fault);
    at += BLOCK_BYTES;
    if (entry.type === "5" && FOLDERS.test(entry.name) && entry.size === 0) continue;
    if (entry.type !== "0" || !EXPECTED.test(entry.name))
      throw no(`has an entry that does not belong there: ${JSON.stringify(entry.name)}`);
    if (places.has(entry.name)) throw no(`has ${entry.name} twice`);
    if (at + entry.size > total) throw no("was cut off");
    places.set(entry.name, { at, size: entry.size });
    at += entry.size + tarPadding(entry.size);
  }
}

async function readPlace(
  file: FileHandle,
  { at, size }: Place,
  limit: number,
  path: string,
): Promise<Buffer> {
  if (size > limit)
    throw new ThawError("store-corrupt", `${path} has an entry of ${size} bytes; the limit is ${limit}`);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, at);
  if (bytesRead !== size) throw new ThawError("store-corrupt", `${path} was cut off`);
  return buffer;
}

function nameOf(digest: string): string {
  return `${BLOB_PREFIX}${digest.slice("sha256:".length)}`;
}

function readOnly(path: string): ThawError {
  return new ThawError("usage", `${path} already exists, and an archive is never overwritten`, {
    hint: "thaw capture export REF FILE, or give a folder",
  });
}
