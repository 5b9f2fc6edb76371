import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { setImmediate as breathe } from "node:timers/promises";
import { ThawError } from "../errors.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import {
  extentBytes,
  headerBytes,
  kind,
  maxPathBytes,
  maxReasonBytes,
  writeBytes,
  writeHeader,
} from "./format.ts";
import { refuseTarget, splitPath } from "./path.ts";

/** Something to pack: where it is, and its path in the tree. */
export interface PackEntry {
  /** Its path on this host, raw bytes. */
  source: Uint8Array;
  /** Its path in the tree: relative, raw bytes, `/` separated. Folders come before what is in them. */
  path: Buffer;
  /** Packed instead of the file's own bytes. */
  content?: Uint8Array;
}

/** Something that can't be part of a tree, and why. */
export interface SkippedEntry {
  path: Buffer;
  reason: string;
}

/** How to pack. */
export interface PackOptions {
  onSkipped?: (skipped: SkippedEntry) => void;
  onEntry?: (entry: PackEntry, bytes: number) => void;
  signal?: AbortSignal | undefined;
}

/** In a file with holes, blocks of zeros of this size are left out. */
const holeBytes = 65_536;
const zeros = Buffer.alloc(holeBytes);
const entriesBetweenBreaths = 256;
const largestRecord = headerBytes + maxPathBytes + 2 + maxReasonBytes;

/**
 * Packs entries into a tree stream, in chunks of about 1 MiB. A file that changes meanwhile keeps the size it had when it was opened: what
 * is missing becomes a hole. What can't be packed becomes a `skipped` record; what is gone is left out.
 */
export async function* packTree(
  entries: Iterable<PackEntry>,
  options: PackOptions = {},
): AsyncGenerator<Buffer, void> {
  const out = new ChunkWriter();
  let count = 0;
  for (const entry of entries) {
    if (out.room < largestRecord) yield out.take();
    yield* packEntry(out, entry, options);
    if (++count % entriesBetweenBreaths === 0) {
      options.signal?.throwIfAborted();
      await breathe();
    }
  }
  if (out.room === 0) yield out.take();
  out.put((buffer, at) => {
    buffer[at] = kind.end;
    return at + 1;
  });
  yield out.take();
}

function* packEntry(out: ChunkWriter, entry: PackEntry, options: PackOptions): Generator<Buffer, void> {
  const { path } = entry;
  const skip = (reason: string): void => {
    putSkipped(out, path, reason);
    options.onSkipped?.({ path, reason });
  };
  if (path.length > maxPathBytes) {
    options.onSkipped?.({ path, reason: `its path has ${path.length} bytes; ${maxPathBytes} is the limit` });
    return;
  }
  const source = Buffer.from(entry.source.buffer, entry.source.byteOffset, entry.source.length);
  try {
    const stats = lstatSync(source);
    let bytes = 0;
    if (stats.isDirectory()) putRecord(out, kind.directory, path, stats);
    else if (entry.content !== undefined) bytes = yield* packContent(out, path, stats, entry.content);
    else if (stats.isFile()) bytes = yield* packFile(out, path, source, skip);
    else if (stats.isSymbolicLink()) packSymlink(out, path, stats, readlinkSync(source, "buffer"), skip);
    else skip(describeSpecial(stats));
    options.onEntry?.(entry, bytes);
  } catch (error) {
    if (error instanceof ThawError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code !== "ENOENT" && code !== "ENOTDIR") skip(`can't be read: ${code}`);
  }
}

function describeSpecial(stats: Stats): string {
  if (stats.isSocket()) return "a socket";
  if (stats.isFIFO()) return "a named pipe";
  return "a device";
}

function putRecord(out: ChunkWriter, type: number, path: Buffer, stats: Stats | undefined): void {
  const ms = stats?.mtimeMs ?? 0;
  const seconds = Math.floor(ms / 1000);
  const nanoseconds = Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6));
  const header = {
    kind: type,
    mode: (stats?.mode ?? 0) & 0o7777,
    mtime: { seconds: BigInt(seconds), nanoseconds },
    uid: stats?.uid ?? 0,
    gid: stats?.gid ?? 0,
    path,
  };
  out.put((buffer, at) => writeHeader(buffer, at, header));
}

function putSkipped(out: ChunkWriter, path: Buffer, reason: string): void {
  putRecord(out, kind.skipped, path, undefined);
  out.put((buffer, at) => writeBytes(buffer, at, Buffer.from(reason, "utf8").subarray(0, maxReasonBytes)));
}

function packSymlink(
  out: ChunkWriter,
  path: Buffer,
  stats: Stats,
  target: Buffer,
  skip: (reason: string) => void,
): void {
  const refused = refuseTarget(target, splitPath(path).length - 1);
  if (refused !== undefined) {
    skip(refused);
    return;
  }
  putRecord(out, kind.symlink, path, stats);
  out.put((buffer, at) => writeBytes(buffer, at, target));
}

function putExtent(out: ChunkWriter, offset: number, length: number): void {
  out.put((buffer, at) => {
    buffer.writeBigUInt64LE(BigInt(offset), at);
    buffer.writeUInt32LE(length, at + 8);
    return at + extentBytes;
  });
}

function putFileHeader(out: ChunkWriter, path: Buffer, stats: Stats, size: number): void {
  putRecord(out, kind.file, path, stats);
  out.put((buffer, at) => buffer.writeBigUInt64LE(BigInt(size), at));
}

function* packContent(
  out: ChunkWriter,
  path: Buffer,
  stats: Stats,
  content: Uint8Array,
): Generator<Buffer, number> {
  putFileHeader(out, path, stats, content.length);
  for (let at = 0; at < content.length; ) {
    if (out.room < extentBytes + 1) yield out.take();
    const part = content.subarray(at, at + out.room - extentBytes);
    putExtent(out, at, part.length);
    out.put((buffer, to) => {
      buffer.set(part, to);
      return to + part.length;
    });
    at += part.length;
  }
  if (out.room < extentBytes) yield out.take();
  putExtent(out, content.length, 0);
  return content.length;
}

function* packFile(
  out: ChunkWriter,
  path: Buffer,
  source: Buffer,
  skip: (reason: string) => void,
): Generator<Buffer, number> {
  const fd = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) {
      skip("changed while it was read");
      return 0;
    }
    putFileHeader(out, path, stats, stats.size);
    const sparse = stats.blocks * 512 < stats.size;
    for (let offset = 0; offset < stats.size; ) {
      if (out.room < extentBytes + Math.min(holeBytes, stats.size - offset)) yield out.take();
      const read = readExtent(out, { fd, offset, size: stats.size, sparse });
      if (read === 0) break;
      offset += read;
    }
    if (out.room < extentBytes) yield out.take();
    putExtent(out, stats.size, 0);
    return stats.size;
  } finally {
    closeSync(fd);
  }
}

/** Reads straight into the chunk, behind the extent's header. @returns bytes of the file that were passed; 0 at its end. */
function readExtent(
  out: ChunkWriter,
  file: { fd: number; offset: number; size: number; sparse: boolean },
): number {
  const { fd, offset, sparse } = file;
  const rest = file.size - offset;
  const wanted = sparse ? Math.min(holeBytes, rest) : Math.min(out.room - extentBytes, rest);
  let read = 0;
  out.put((buffer, at) => {
    const data = at + extentBytes;
    try {
      read = readSync(fd, buffer, data, wanted, offset);
    } catch {
      return at;
    }
    if (read === 0) return at;
    if (sparse && buffer.compare(zeros, 0, read, data, data + read) === 0) return at;
    buffer.writeBigUInt64LE(BigInt(offset), at);
    buffer.writeUInt32LE(read, at + 8);
    return data + read;
  });
  return read;
}
