/** Tar archives as tree streams. Loaded when one comes. */
import tar from "tar-stream";
import { ThawError } from "../errors.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import {
  EXTENT_BYTES,
  HEADER_BYTES,
  kind,
  MAX_FILE_BYTES,
  MAX_PATH_BYTES,
  MAX_REASON_BYTES,
  NS_PER_SECOND,
  showPath,
  writeBytes,
  writeHeader,
} from "./format.ts";
import type { SkippedEntry } from "./pack.ts";
import { refusePath, splitPath } from "./path.ts";

/** A chunk takes at least this much of a file, or all that is left of it; one with less room is sent first. */
const LEAST_EXTENT_BYTES = 65_536;
const MAX_ID = 0xffffffff;
const largestRecord = HEADER_BYTES + MAX_PATH_BYTES + 2 + MAX_REASON_BYTES;

/**
 * The tree stream of an archive, which may be hostile: a name that leads out of the destination ends it, and what is no file, folder or
 * link is left out by name.
 * @throws ThawError `usage` when it is not a whole tar archive; the error of `archive` when that breaks off
 */
export async function* treeOfTar(
  archive: AsyncIterable<Uint8Array>,
  options: { onSkipped?: (skipped: SkippedEntry) => void } = {},
): AsyncGenerator<Buffer, void> {
  const extract = tar.extract({ filenameEncoding: "latin1" } as object);
  const fed = feed(archive, extract);
  fed.catch((error: Error) => extract.destroy(error));
  const out = new ChunkWriter();
  try {
    for await (const entry of extract) {
      if (out.room < largestRecord) yield out.take();
      yield* putEntry(out, entry as unknown as TarEntry, options.onSkipped);
      entry.resume();
    }
  } catch (error) {
    if (error instanceof ThawError || error instanceof SourceError)
      throw error instanceof SourceError ? error.cause : error;
    throw new ThawError("usage", `not a complete tar archive: ${(error as Error).message}`, {
      hint: "decompress it first: gunzip -c FILE | thaw cp - …",
      cause: error,
    });
  } finally {
    extract.destroy();
  }
  if (out.room < 1) yield out.take();
  out.put((buffer, at) => {
    buffer[at] = kind.end;
    return at + 1;
  });
  yield out.take();
}

/** The archive broke off, for a reason of its sender's. */
class SourceError extends Error {}

async function feed(archive: AsyncIterable<Uint8Array>, extract: tar.Extract): Promise<void> {
  let wake = (): void => {};
  extract.on("drain", () => wake());
  extract.on("close", () => wake());
  let bytes = 0;
  try {
    for await (const chunk of archive) {
      if (extract.destroyed) return;
      bytes += chunk.length;
      const drained = Promise.withResolvers<void>();
      wake = drained.resolve;
      if (!extract.write(chunk)) await drained.promise;
    }
  } catch (error) {
    throw new SourceError("the archive broke off", { cause: error });
  }
  if (bytes === 0) throw new Error("it is empty");
  extract.end(undefined);
}

interface TarEntry extends AsyncIterable<Buffer> {
  header: Omit<tar.Header, "type" | "pax"> & {
    type: tar.Header["type"] | null;
    pax: Record<string, string> | null;
  };
}

const SKIPPED_TYPES: Readonly<Record<string, string>> = {
  "block-device": "a device",
  "character-device": "a device",
  fifo: "a named pipe",
};

async function* putEntry(
  out: ChunkWriter,
  entry: TarEntry,
  onSkipped: ((skipped: SkippedEntry) => void) | undefined,
): AsyncGenerator<Buffer, void> {
  const { header } = entry;
  const { type, pax } = header;
  const path = pathIn(pax?.path === undefined ? Buffer.from(header.name, "latin1") : Buffer.from(pax.path));
  // The destination itself.
  if (path.length === 0) return;
  const target = (): Buffer =>
    pax?.linkpath === undefined ? Buffer.from(header.linkname ?? "", "latin1") : Buffer.from(pax.linkpath);
  const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."));
  const put = (recordKind: number): void => {
    const ns = timeOf(header, pax);
    const nanoseconds = Number(((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND);
    const mtime = { seconds: (ns - BigInt(nanoseconds)) / NS_PER_SECOND, nanoseconds };
    const ids = { uid: idOf(pax?.uid ?? header.uid), gid: idOf(pax?.gid ?? header.gid) };
    const mode = Number.isInteger(header.mode) ? header.mode & 0o7777 : 0o644;
    out.put((buffer, at) => writeHeader(buffer, at, { kind: recordKind, path, mode, mtime, ...ids }));
  };
  if (isSparse) onSkipped?.({ path, reason: "it is sparse: make the archive without --sparse" });
  else if (type === "directory") put(kind.directory);
  else if (type === "file" || type === "contiguous-file") {
    if (!Number.isSafeInteger(header.size) || header.size > MAX_FILE_BYTES)
      throw new ThawError(
        "usage",
        `${showPath(path)} has ${header.size} bytes; ${MAX_FILE_BYTES} is the limit`,
      );
    put(kind.file);
    out.put((buffer, at) => buffer.writeBigUInt64LE(BigInt(header.size), at));
    yield* putContent(out, entry, header.size);
  } else if (type === "symlink" || type === "link") {
    const place = type === "link" ? pathIn(target()) : target();
    if (place.length === 0 || place.length > MAX_PATH_BYTES || place.includes(0))
      throw new ThawError("usage", `${showPath(path)} is a link to nothing, or its target is too long`);
    put(type === "link" ? kind.link : kind.symlink);
    out.put((buffer, at) => writeBytes(buffer, at, place));
  } else onSkipped?.({ path, reason: SKIPPED_TYPES[type ?? ""] ?? "a kind of entry that is not known" });
}

async function* putContent(
  out: ChunkWriter,
  content: AsyncIterable<Buffer>,
  size: number,
): AsyncGenerator<Buffer, void> {
  const putExtent = (offset: number, length: number): void =>
    out.put((buffer, at) => {
      buffer.writeBigUInt64LE(BigInt(offset), at);
      return buffer.writeUInt32LE(length, at + 8);
    });
  let offset = 0;
  for await (const chunk of content)
    for (let at = 0; at < chunk.length; ) {
      if (out.room < EXTENT_BYTES + Math.min(LEAST_EXTENT_BYTES, chunk.length - at)) yield out.take();
      const part = chunk.subarray(at, at + out.room - EXTENT_BYTES);
      putExtent(offset, part.length);
      out.put((buffer, to) => to + part.copy(buffer, to));
      at += part.length;
      offset += part.length;
    }
  if (out.room < EXTENT_BYTES) yield out.take();
  putExtent(size, 0);
}

/** A name of an archive as a path beneath the destination; empty for the destination itself. A leading / counts for nothing, as for tar. */
function pathIn(name: Buffer): Buffer {
  const parts = splitPath(name).filter((part) => part.length > 0 && !part.equals(Buffer.from(".")));
  const path = Buffer.from(parts.map((part) => part.toString("latin1")).join("/"), "latin1");
  const refused = parts.length === 0 ? undefined : refusePath(path, parts);
  if (refused !== undefined) throw new ThawError("usage", `the archive has a ${refused}: ${showPath(name)}`);
  return path;
}

function idOf(value: string | number | undefined): number {
  const id = Number(value);
  return Number.isInteger(id) && id >= 0 && id <= MAX_ID ? id : 0;
}

function timeOf({ mtime }: { mtime: Date }, pax: Record<string, string> | null): bigint {
  const [, sign, seconds, fraction = ""] = /^(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(pax?.mtime ?? "") ?? [];
  if (seconds !== undefined) {
    const ns = BigInt(seconds) * NS_PER_SECOND + BigInt(fraction.padEnd(9, "0"));
    return sign === "-" ? -ns : ns;
  }
  const ms = mtime.getTime();
  return Number.isNaN(ms) ? 0n : BigInt(ms) * 1_000_000n;
}
