import { type BigIntStats, closeSync, readSync } from "node:fs";
import { setImmediate as breathe } from "node:timers/promises";
import { ThawError } from "../errors.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import {
  EXTENT_BYTES,
  HEADER_BYTES,
  kind,
  MAX_PATH_BYTES,
  MAX_REASON_BYTES,
  writeBytes,
  writeHeader,
} from "./format.ts";
import type { SourceFolder } from "./source-folder.ts";

/** Something to pack: where it is, and its path in the tree. */
export interface PackEntry {
  /** The folder that it is read from. */
  folder: SourceFolder;
  /** Its path there. */
  source: Buffer;
  /** Its path in the tree: relative, raw bytes, `/` separated. Folders come before what is in them. */
  path: Buffer;
  /** Packed instead of the file's own bytes. */
  content?: Uint8Array;
  /** Why it can't be read; it is told as left out. */
  unreadable?: string;
}

/** Something that can't be part of a tree, and why. */
export interface SkippedEntry {
  path: Buffer;
  reason: string;
  /** The stream had begun to tell it: a read failed, or the file became shorter. */
  broken?: boolean;
}

/** How to pack. */
export interface PackOptions {
  onSkipped?: (skipped: SkippedEntry) => void;
  onEntry?: (entry: PackEntry, bytes: number) => void;
  /** Send a file's further names as hard links (default), not as files of their own. Older agents don't know them. */
  links?: boolean;
  signal?: AbortSignal | undefined;
}

/** A packing under way. */
interface Packing {
  out: ChunkWriter;
  /** The first paths of files with several names, by device and inode. */
  links: Map<string, Buffer> | undefined;
}

/** In a file with holes, blocks of zeros of this size are left out. */
const HOLE_BYTES = 65_536;
const ZEROS = Buffer.alloc(HOLE_BYTES);
const nsPerSecond = 1_000_000_000n;
const ENTRIES_BETWEEN_BREATHS = 256;
const largestRecord = HEADER_BYTES + MAX_PATH_BYTES + 2 + MAX_REASON_BYTES;

/**
 * Packs entries into a tree stream, in chunks of about 1 MiB. What is read lies in the entries' folders, no link followed. A file that
 * grows meanwhile keeps the size that it had when it was opened. What can't be packed becomes a `skipped` record, also behind a file whose
 * reading failed halfway (the receiver drops it); what is gone is left out.
 */
export async function* packTree(
  entries: Iterable<PackEntry>,
  options: PackOptions = {},
): AsyncGenerator<Buffer, void> {
  const out = new ChunkWriter();
  const packing = { out, links: options.links === false ? undefined : new Map<string, Buffer>() };
  let folder: SourceFolder | undefined;
  let count = 0;
  try {
    for (const entry of entries) {
      if (entry.folder !== folder) folder?.release();
      folder = entry.folder;
      if (out.room < largestRecord) yield out.take();
      yield* packEntry(packing, entry, options);
      if (++count % ENTRIES_BETWEEN_BREATHS === 0) {
        options.signal?.throwIfAborted();
        await breathe();
      }
    }
  } finally {
    folder?.release();
  }
  if (out.room === 0) yield out.take();
  out.put((buffer, at) => {
    buffer[at] = kind.end;
    return at + 1;
  });
  yield out.take();
}

function* packEntry(packing: Packing, entry: PackEntry, options: PackOptions): Generator<Buffer, void> {
  const { out } = packing;
  const { path } = entry;
  const skip = (reason: string, broken = false): void => {
    putSkipped(out, path, reason);
    options.onSkipped?.({ path, reason, ...(broken ? { broken } : {}) });
  };
  if (path.length > MAX_PATH_BYTES) {
    options.onSkipped?.({
      path,
      reason: `its path has ${path.length} bytes; ${MAX_PATH_BYTES} is the limit`,
    });
    return;
  }
  if (entry.unreadable !== undefined) {
    skip(entry.unreadable);
    return;
  }
  try {
    const bytes = yield* packKind(packing, entry, skip);
    if (bytes !== undefined) options.onEntry?.(entry, bytes);
  } catch (error) {
    if (error instanceof ThawError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code !== "ENOENT" && code !== "ENOTDIR") skip(`can't be read: ${code}`);
  }
}

/** @returns bytes of content; undefined when it was left out. */
function* packKind(
  packing: Packing,
  entry: PackEntry,
  skip: (reason: string, broken?: boolean) => void,
): Generator<Buffer, number | undefined> {
  const { out, links } = packing;
  const { folder, source, path, content } = entry;
  const stats = folder.stat(source);
  if (stats === undefined) return undefined;
  if (stats.isDirectory()) putRecord(out, kind.directory, path, stats);
  else if (content !== undefined) return yield* packContent(out, path, stats, content);
  else if (stats.isFile()) {
    const key = stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : "";
    const first = links?.get(key);
    if (first !== undefined) putPath(out, kind.link, path, stats, first);
    else {
      const bytes = yield* packFile(out, entry, skip);
      if (key !== "" && bytes !== undefined) links?.set(key, path);
      return bytes;
    }
  } else if (stats.isSymbolicLink()) putPath(out, kind.symlink, path, stats, folder.readLink(source));
  else {
    skip(describeSpecial(stats));
    return undefined;
  }
  return 0;
}

function describeSpecial(stats: BigIntStats): string {
  if (stats.isSocket()) return "a socket";
  if (stats.isFIFO()) return "a named pipe";
  return "a device";
}

function putRecord(out: ChunkWriter, type: number, path: Buffer, stats: BigIntStats | undefined): void {
  const ns = stats?.mtimeNs ?? 0n;
  const rest = ((ns % nsPerSecond) + nsPerSecond) % nsPerSecond;
  const header = {
    kind: type,
    mode: Number(stats?.mode ?? 0n) & 0o7777,
    mtime: { seconds: (ns - rest) / nsPerSecond, nanoseconds: Number(rest) },
    uid: Number(stats?.uid ?? 0n),
    gid: Number(stats?.gid ?? 0n),
    path,
  };
  out.put((buffer, at) => writeHeader(buffer, at, header));
}

function putSkipped(out: ChunkWriter, path: Buffer, reason: string): void {
  putRecord(out, kind.skipped, path, undefined);
  out.put((buffer, at) => writeBytes(buffer, at, Buffer.from(reason, "utf8").subarray(0, MAX_REASON_BYTES)));
}

/** A record that holds a path beside its own: where a link leads. */
function putPath(out: ChunkWriter, type: number, path: Buffer, stats: BigIntStats, target: Buffer): void {
  putRecord(out, type, path, stats);
  out.put((buffer, at) => writeBytes(buffer, at, target));
}

function putExtent(out: ChunkWriter, offset: number, length: number): void {
  out.put((buffer, at) => {
    buffer.writeBigUInt64LE(BigInt(offset), at);
    buffer.writeUInt32LE(length, at + 8);
    return at + EXTENT_BYTES;
  });
}

function putFileHeader(out: ChunkWriter, path: Buffer, stats: BigIntStats, size: number): void {
  putRecord(out, kind.file, path, stats);
  out.put((buffer, at) => buffer.writeBigUInt64LE(BigInt(size), at));
}

function* packContent(
  out: ChunkWriter,
  path: Buffer,
  stats: BigIntStats,
  content: Uint8Array,
): Generator<Buffer, number> {
  putFileHeader(out, path, stats, content.length);
  for (let at = 0; at < content.length; ) {
    if (out.room < EXTENT_BYTES + 1) yield out.take();
    const part = content.subarray(at, at + out.room - EXTENT_BYTES);
    putExtent(out, at, part.length);
    out.put((buffer, to) => {
      buffer.set(part, to);
      return to + part.length;
    });
    at += part.length;
  }
  if (out.room < EXTENT_BYTES) yield out.take();
  putExtent(out, content.length, 0);
  return content.length;
}

function* packFile(
  out: ChunkWriter,
  entry: PackEntry,
  skip: (reason: string, broken?: boolean) => void,
): Generator<Buffer, number | undefined> {
  const { folder, source, path } = entry;
  const file = folder.open(source);
  if (file === undefined) {
    skip("changed while it was read");
    return undefined;
  }
  const { fd, stats } = file;
  try {
    const size = Number(stats.size);
    putFileHeader(out, path, stats, size);
    const sparse = Number(stats.blocks) * 512 < size;
    let failure: string | undefined;
    for (let offset = 0; offset < size && failure === undefined; ) {
      if (out.room < EXTENT_BYTES + Math.min(HOLE_BYTES, size - offset)) yield out.take();
      const read = readExtent(out, { fd, offset, size, sparse });
      if (typeof read === "number") offset += read;
      else failure = read.failed;
    }
    if (out.room < largestRecord) yield out.take();
    putExtent(out, size, 0);
    if (failure === undefined) return size;
    skip(failure, true);
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Reads straight into the chunk, behind the extent's header. @returns bytes of the file that were passed, or why there are no more. */
function readExtent(
  out: ChunkWriter,
  file: { fd: number; offset: number; size: number; sparse: boolean },
): number | { failed: string } {
  const { fd, offset, size, sparse } = file;
  const rest = size - offset;
  const wanted = sparse ? Math.min(HOLE_BYTES, rest) : Math.min(out.room - EXTENT_BYTES, rest);
  let result: number | { failed: string } = 0;
  out.put((buffer, at) => {
    const data = at + EXTENT_BYTES;
    let read: number;
    try {
      read = readSync(fd, buffer, data, wanted, offset);
    } catch (error) {
      result = { failed: `reading failed at byte ${offset}: ${(error as NodeJS.ErrnoException).code}` };
      return at;
    }
    if (read === 0) {
      result = { failed: `became shorter while it was read: ${offset} of ${size} bytes` };
      return at;
    }
    result = read;
    if (sparse && buffer.compare(ZEROS, 0, read, data, data + read) === 0) return at;
    buffer.writeBigUInt64LE(BigInt(offset), at);
    buffer.writeUInt32LE(read, at + 8);
    return data + read;
  });
  return result;
}
