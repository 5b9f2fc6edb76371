import { closeSync, writeSync } from "node:fs";
import { ThawError } from "../errors.ts";
import { splitNames } from "./attributes.ts";
import { ByteReader } from "./byte-reader.ts";
import { Destination } from "./destination.ts";
import {
  EXTENT_BYTES,
  HEADER_BYTES,
  kind,
  MAX_ATTRIBUTES_BYTES,
  type RecordHeader,
  readHeader,
  showPath,
  treeFault,
} from "./format.ts";
import type { SkippedEntry } from "./pack.ts";
import { refusePath, refuseTarget, splitPath } from "./path.ts";

/** What a tree may hold at most. */
export interface UnpackLimits {
  /** Default 1,000,000. */
  entries: number;
  /** Bytes of data. Default 64 GiB. */
  bytes: number;
  /** Length of one file, holes included. Default 1 TiB. */
  fileBytes: number;
  /** Folders above an entry. Default 256. */
  depth: number;
}

/** How to unpack. */
export interface UnpackOptions {
  limits?: Partial<UnpackLimits>;
  /** Replace files and links that are there. Default: an error. */
  overwrite?: boolean;
  /** Why an entry is left out, told as skipped; undefined: it is unpacked. Asked for each entry, also for those in a folder that is left out. */
  leaveOut?: (parts: readonly Buffer[]) => string | undefined;
  onSkipped?: (skipped: SkippedEntry) => void;
  /** Told what of an entry is not kept here: rights to run as somebody else. */
  onReduced?: (reduced: SkippedEntry) => void;
  /** Told the names of the extended attributes that a file or folder has in the guest. They are not set here. */
  onAttributes?: (path: Buffer, names: string[]) => void;
  signal?: AbortSignal | undefined;
}

/** What was unpacked. */
export interface UnpackResult {
  entries: number;
  /** Bytes of data written. */
  bytes: number;
  /** What the sender left out, and what was refused here, e.g. links that leave the tree. */
  skipped: SkippedEntry[];
}

const defaultLimits: UnpackLimits = {
  entries: 1_000_000,
  bytes: 64 * 2 ** 30,
  fileBytes: 2 ** 40,
  depth: 256,
};
const KEPT_SKIPPED = 1000;

/**
 * Unpacks a tree stream beneath `folder`, which is made when absent. The stream may be a hostile guest's: nothing is written outside,
 * no link is followed, nothing becomes setuid, and links that lead out are refused by name.
 * @throws ThawError `agent-fault` for a stream that breaks the format or a limit, `conflict` for something that is there already.
 */
export async function unpackTree(
  stream: AsyncIterable<Uint8Array>,
  folder: string,
  options: UnpackOptions = {},
): Promise<UnpackResult> {
  const unpacker = new Unpacker(
    new ByteReader(stream),
    new Destination(folder, options.overwrite ?? false),
    options,
  );
  try {
    return await unpacker.run();
  } catch (error) {
    throw describe(error, folder);
  }
}

/** A system error becomes one of ours: names the guest chose can be too long, or equal where case is folded. */
function describe(error: unknown, folder: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof ThawError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const kind =
    code === "ENOSPC" || code === "EDQUOT" ? "no-space" : code === "EEXIST" ? "conflict" : "internal";
  return new ThawError(kind, `can't unpack into ${folder}: ${(error as Error).message}`, { cause: error });
}

class Unpacker {
  readonly #reader: ByteReader;
  readonly #destination: Destination;
  readonly #options: UnpackOptions;
  readonly #limits: UnpackLimits;
  readonly #result: UnpackResult = { entries: 0, bytes: 0, skipped: [] };
  /** The file made last. The sender may take it back when it could not be read to its end. */
  #lastFile: { path: Buffer; parts: readonly Buffer[] } | undefined;

  /** The file or folder made last, until its attributes are told. */
  #describable: Buffer | undefined;

  constructor(reader: ByteReader, destination: Destination, options: UnpackOptions) {
    this.#reader = reader;
    this.#destination = destination;
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  async run(): Promise<UnpackResult> {
    try {
      for (;;) {
        this.#options.signal?.throwIfAborted();
        const type = (await this.#read(1))[0];
        if (type === kind.end) break;
        await this.#applyRecord(type ?? 0);
      }
      await this.#reader.expectEnd();
      return this.#result;
    } finally {
      this.#destination.finish();
      await this.#reader.close();
    }
  }

  async #applyRecord(type: number): Promise<void> {
    if (type > kind.attributes) throw treeFault(`unknown kind ${type}`);
    const { pathBytes, ...fixed } = readHeader(type, await this.#read(HEADER_BYTES - 1));
    const header: RecordHeader = { ...fixed, path: Buffer.from(await this.#read(pathBytes)) };
    const parts = splitPath(header.path);
    const refused = refusePath(header.path, parts);
    if (refused !== undefined) throw treeFault(refused);
    if (header.mode > 0o7777) throw treeFault(`mode ${header.mode.toString(8)} of ${showPath(header.path)}`);
    if (header.mtime.nanoseconds > 999_999_999) throw treeFault(`nanoseconds of ${showPath(header.path)}`);
    if (type === kind.attributes) return this.#applyAttributes(header.path);
    if (parts.length - 1 > this.#limits.depth)
      throw treeFault(`${this.#limits.depth} folders deep is the limit`);
    if (++this.#result.entries > this.#limits.entries)
      throw treeFault(`${this.#limits.entries} entries are the limit`);
    const isDescribable = type === kind.directory || type === kind.file;
    const leftOut = this.#options.leaveOut?.(parts);
    if (leftOut === undefined && isDescribable && header.mode > 0o777)
      this.#options.onReduced?.({
        path: header.path,
        reason: `mode ${header.mode.toString(8)} without its first digit`,
      });
    if (leftOut !== undefined) await this.#passOver(type, header, leftOut);
    else if (type === kind.directory) this.#destination.makeFolder(header, parts);
    else if (type === kind.file) await this.#applyFile(header, parts);
    else if (type === kind.symlink) await this.#applySymlink(header, parts);
    else if (type === kind.link) await this.#applyLink(header, parts);
    else await this.#applySkipped(header);
    this.#describable = isDescribable ? header.path : undefined;
  }

  /** Reads an entry that is not unpacked. */
  async #passOver(type: number, { path }: RecordHeader, reason: string): Promise<void> {
    if (type === kind.file) await this.#applyExtents(undefined, path, await this.#readSize(path));
    else if (type !== kind.directory) await this.#readText();
    this.#skip(path, reason);
  }

  async #applySkipped({ path }: RecordHeader): Promise<void> {
    const reason = (await this.#readText()).toString("utf8");
    if (this.#lastFile?.path.equals(path) === true) this.#destination.removeFile(path, this.#lastFile.parts);
    this.#skip(path, reason);
  }

  /** Once per file or folder, so that a guest can't go on with them forever. */
  async #applyAttributes(path: Buffer): Promise<void> {
    const names = await this.#readText();
    if (names.length > MAX_ATTRIBUTES_BYTES)
      throw treeFault(`${names.length} bytes of attributes of ${showPath(path)}`);
    if (this.#describable?.equals(path) !== true)
      throw treeFault(`attributes of ${showPath(path)}, which is not the entry before`);
    this.#describable = undefined;
    this.#options.onAttributes?.(path, splitNames(names));
  }

  async #applySymlink(header: RecordHeader, parts: readonly Buffer[]): Promise<void> {
    const target = await this.#readText();
    if (target.length > 4096) throw treeFault(`target of ${target.length} bytes of ${showPath(header.path)}`);
    const refused = refuseTarget(target, parts.length - 1);
    if (refused !== undefined) this.#skip(header.path, refused);
    else this.#destination.makeSymlink(header, parts, target);
  }

  async #applyLink(header: RecordHeader, parts: readonly Buffer[]): Promise<void> {
    const target = await this.#readText();
    const targetParts = splitPath(target);
    const refused = refusePath(target, targetParts);
    if (refused !== undefined) throw treeFault(`${refused}, in a hard link`);
    this.#destination.makeLink({ path: header.path, parts }, { path: target, parts: targetParts });
  }

  async #applyFile(header: RecordHeader, parts: readonly Buffer[]): Promise<void> {
    const size = await this.#readSize(header.path);
    const fd = this.#destination.createFile(header.path, parts);
    let end = 0;
    try {
      end = await this.#applyExtents(fd, header.path, size);
    } catch (error) {
      closeSync(fd);
      this.#destination.removeFile(header.path, parts);
      throw error;
    }
    this.#lastFile = { path: header.path, parts };
    this.#destination.finishFile(fd, header, end < size ? size : undefined);
  }

  async #readSize(path: Buffer): Promise<number> {
    const size = (await this.#read(8)).readBigUInt64LE();
    if (size > BigInt(this.#limits.fileBytes))
      throw treeFault(`${showPath(path)} of ${size} bytes; ${this.#limits.fileBytes} is the limit`);
    return Number(size);
  }

  /** @param fd undefined: what is read is written nowhere. @returns where the last extent ends. */
  async #applyExtents(fd: number | undefined, path: Buffer, size: number): Promise<number> {
    for (let end = 0; ; ) {
      const extent = await this.#read(EXTENT_BYTES);
      const start = extent.readBigUInt64LE(0);
      const length = extent.readUInt32LE(8);
      if (length === 0) return end;
      if (start < BigInt(end) || start + BigInt(length) > BigInt(size)) {
        throw treeFault(`extent at ${start} of ${length} bytes in ${showPath(path)} of ${size} bytes`);
      }
      this.#result.bytes += length;
      if (this.#result.bytes > this.#limits.bytes)
        throw treeFault(`${this.#limits.bytes} bytes are the limit`);
      end = Number(start) + length;
      await this.#writeExtent(fd, Number(start), length);
    }
  }

  async #writeExtent(fd: number | undefined, start: number, length: number): Promise<void> {
    for (let at = 0; at < length; ) {
      const data = await this.#reader.readSome(length - at);
      for (let done = 0; fd !== undefined && done < data.length; )
        done += writeSync(fd, data, done, data.length - done, start + at + done);
      at += data.length;
    }
  }

  #skip(path: Buffer, reason: string): void {
    const skipped = { path, reason };
    if (this.#result.skipped.length < KEPT_SKIPPED) this.#result.skipped.push(skipped);
    this.#options.onSkipped?.(skipped);
  }

  async #readText(): Promise<Buffer> {
    const length = (await this.#read(2)).readUInt16LE();
    return Buffer.from(await this.#read(length));
  }

  /** Few bytes, at once when they are here. */
  #read(count: number): Buffer | Promise<Buffer> {
    return this.#reader.take(count) ?? this.#reader.read(count);
  }
}
