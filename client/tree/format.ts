import { ThawError } from "../errors.ts";

/** Length of one file of an archive, holes included. */
export const MAX_FILE_BYTES = 2 ** 40;
export const NS_PER_SECOND = 1_000_000_000n;

/** The kinds of record in a tree stream (docs/PROTOCOL.md, "Trees"). */
export const kind = {
  end: 0,
  directory: 1,
  file: 2,
  symlink: 3,
  skipped: 4,
  link: 5,
  attributes: 6,
} as const;

/** Bytes of a record before its path: kind, mode, mtime (8 + 4), uid, gid, length of the path. */
export const HEADER_BYTES = 1 + 4 + 8 + 4 + 4 + 4 + 2;
/** Bytes of an extent before its data: offset and length. */
export const EXTENT_BYTES = 8 + 4;
/** The longest path, and the longest target, in bytes. */
export const MAX_PATH_BYTES = 4096;
export const MAX_REASON_BYTES = 65_535;
/** Names of the attributes of one entry, with their NULs. */
export const MAX_ATTRIBUTES_BYTES = 1024;

/** What every record begins with. */
export interface RecordHeader {
  kind: number;
  /** Permission bits, ≤ 07777. */
  mode: number;
  mtime: { seconds: bigint; nanoseconds: number };
  uid: number;
  gid: number;
  /** Relative, `/` separated, raw bytes. */
  path: Buffer;
}

/** Writes a header at `at`, which has to have room. @returns where it ends. */
export function writeHeader(into: Buffer, at: number, header: RecordHeader): number {
  into[at] = header.kind;
  into.writeUInt32LE(header.mode, at + 1);
  into.writeBigInt64LE(header.mtime.seconds, at + 5);
  into.writeUInt32LE(header.mtime.nanoseconds, at + 13);
  into.writeUInt32LE(header.uid, at + 17);
  into.writeUInt32LE(header.gid, at + 21);
  return writeBytes(into, at + 25, header.path);
}

/** Writes a length of two bytes and the bytes. @returns where they end. */
export function writeBytes(into: Buffer, at: number, bytes: Uint8Array): number {
  into.writeUInt16LE(bytes.length, at);
  into.set(bytes, at + 2);
  return at + 2 + bytes.length;
}

/** Reads the fixed part of a header, after its kind. */
export function readHeader(kind: number, from: Buffer): Omit<RecordHeader, "path"> & { pathBytes: number } {
  return {
    kind,
    mode: from.readUInt32LE(0),
    mtime: { seconds: from.readBigInt64LE(4), nanoseconds: from.readUInt32LE(12) },
    uid: from.readUInt32LE(16),
    gid: from.readUInt32LE(20),
    pathBytes: from.readUInt16LE(24),
  };
}

/** A stream that breaks the format: whoever sent it is broken or hostile. */
export function treeFault(message: string): ThawError {
  return new ThawError("agent-fault", `bad tree stream: ${message}`);
}

/** A path for people: control characters and what is not UTF-8 are replaced. */
export function showPath(path: Uint8Array): string {
  return JSON.stringify(Buffer.from(path).toString("utf8"))
    .slice(1, -1)
    .replace(/[\u007f-\u009f]/g, "\ufffd");
}
