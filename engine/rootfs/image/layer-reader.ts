/** Reads the headers of a layer, a tar archive that may be hostile, as its bytes pass by: ustar, pax and GNU's long names. */
import { invalidImage, shown } from "./invalid.ts";

const BLOCK = 512;
const MAX_EXTENSION_BYTES = 1 << 20;
const XATTR = "SCHILY.xattr.";

export type EntryKind = "file" | "directory" | "symlink" | "link" | "fifo" | "device";

export interface LayerEntry {
  kind: EntryKind;
  /** As in the archive: its bytes as latin1. */
  path: string;
  /** Of a link, bytes as latin1; else "". */
  target: string;
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds. */
  mtime: number;
  /** Of a file's content; else 0. */
  size: number;
  /** Where the content begins in the uncompressed layer. */
  offset: number;
  /** Extended attributes by name. */
  attributes: ReadonlyMap<string, Buffer>;
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  "0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "device",
  "4": "device",
  "5": "directory",
  "6": "fifo",
};

export class LayerReader {
  readonly #onEntry: (entry: LayerEntry) => void;
  #position = 0;
  /** Bytes to pass over. */
  #skip = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #wanted = BLOCK;
  /** Takes the block of `#wanted` bytes. */
  #take: (block: Buffer) => void;
  #zeroBlocks = 0;
  #pax: Map<string, Buffer> = new Map();
  #longName: string | undefined;
  #longTarget: string | undefined;

  constructor(onEntry: (entry: LayerEntry) => void) {
    this.#onEntry = onEntry;
    this.#take = this.#header;
  }

  /** @throws EngineError `build-failed` for what is not a tar archive */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#zeroBlocks < 2; ) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, chunk.length - at);
        this.#skip -= passed;
        this.#position += passed;
        at += passed;
        continue;
      }
      const part = chunk.subarray(at, at + this.#wanted - this.#heldBytes);
      this.#held.push(part);
      this.#heldBytes += part.length;
      this.#position += part.length;
      at += part.length;
      if (this.#heldBytes < this.#wanted) continue;
      const block = this.#held.length === 1 ? part : Buffer.concat(this.#held);
      this.#held = [];
      this.#heldBytes = 0;
      this.#take(block);
    }
  }

  /** @throws EngineError `build-failed` when it ended in the middle of an entry */
  end(): void {
    if (this.#zeroBlocks < 2 && (this.#skip > 0 || this.#heldBytes > 0 || this.#take !== this.#header))
      throw invalidImage("a layer ends in the middle of an entry");
  }

  #header(block: Buffer): void {
    if (block.every((byte) => byte === 0)) {
      this.#zeroBlocks++;
      return;
    }
    this.#zeroBlocks = 0;
    checkSum(block);
    const type = String.fromCharCode(block[156] || 0x30);
    const size = this.#number("size", block, 124, 12);
    if (type === "x" || type === "L" || type === "K") return this.#expect(type, size);
    const kind = KINDS[type];
    const name = this.#text("path") ?? this.#longName ?? nameOf(block);
    const target = this.#text("linkpath") ?? this.#longTarget ?? text(block, 157, 100);
    const isFolder = kind === "file" && name.endsWith("/");
    const hasContent = kind === undefined || (kind === "file" && !isFolder);
    const sparse = type === "S" || [...this.#pax.keys()].some((key) => key.startsWith("GNU.sparse."));
    if (sparse) throw invalidImage(`${shown(name)} is a sparse file, which layers can't have`);
    if (kind !== undefined)
      this.#onEntry({
        kind: isFolder ? "directory" : kind,
        path: name,
        target: kind === "link" || kind === "symlink" ? target : "",
        mode: this.#number(null, block, 100, 8) & 0o7777,
        uid: this.#number("uid", block, 108, 8),
        gid: this.#number("gid", block, 116, 8),
        mtime: this.#mtime(block),
        size: hasContent ? size : 0,
        offset: this.#position,
        attributes: this.#attributes(),
      });
    this.#pax = new Map();
    this.#longName = undefined;
    this.#longTarget = undefined;
    if (hasContent) this.#skip = padded(size);
  }

  /** The next block is about the entry that follows it. */
  #expect(type: "x" | "L" | "K", size: number): void {
    if (size > MAX_EXTENSION_BYTES) throw invalidImage(`a layer has a header of ${size} bytes`);
    this.#wanted = Math.max(BLOCK, padded(size));
    this.#take = (block) => {
      this.#wanted = BLOCK;
      this.#take = this.#header;
      const content = block.subarray(0, size);
      if (type === "x") this.#pax = paxRecords(content);
      else if (type === "L") this.#longName = text(content, 0, size);
      else this.#longTarget = text(content, 0, size);
    };
    if (size === 0) {
      this.#wanted = BLOCK;
      this.#take = this.#header;
    }
  }

  #text(key: string): string | undefined {
    const value = this.#pax.get(key)?.toString("latin1");
    if (value?.includes("\0")) throw invalidImage(`a layer has a ${key} with a NUL in it`);
    return value === "" ? undefined : value;
  }

  #number(key: string | null, block: Buffer, at: number, length: number): number {
    const said = key === null ? undefined : this.#pax.get(key)?.toString("latin1");
    const value = said === undefined ? numberIn(block, at, length) : /^\d+$/.test(said) ? Number(said) : NaN;
    if (!Number.isSafeInteger(value) || value < 0)
      throw invalidImage(`a layer has an entry with an impossible ${key ?? "mode"}`);
    return value;
  }

  /** A time that makes no sense is no reason to refuse an image. */
  #mtime(block: Buffer): number {
    const said = this.#pax.get("mtime")?.toString("latin1");
    const value = Math.floor(said === undefined ? numberIn(block, 136, 12) : Number(said));
    return value >= 0 && value <= 0xffffffff ? value : 0;
  }

  #attributes(): ReadonlyMap<string, Buffer> {
    const attributes = new Map<string, Buffer>();
    for (const [key, value] of this.#pax)
      if (key.startsWith(XATTR)) attributes.set(key.slice(XATTR.length), Buffer.from(value));
    return attributes;
  }
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < BLOCK; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const stated = numberIn(block, 148, 8);
  if (stated !== unsigned && stated !== signed) throw invalidImage("a layer is not a tar archive");
}

function nameOf(block: Buffer): string {
  // GNU's own format has other fields there.
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.toString("latin1", at, at + length);
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

/** Octal, or base 256 when the first bit is set. NaN for anything else. */
function numberIn(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = text(block, at, length).trim();
    return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
  }
  if (first !== 0x80) return Number.NaN;
  let value = 0;
  for (let index = at + 1; index < at + length; index++) value = value * 256 + (block[index] ?? 0);
  return value;
}

/** `LENGTH KEY=VALUE\n`, over and over. */
function paxRecords(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(content.toString("latin1", at, space));
    const equals = content.indexOf(0x3d, space);
    const end = at + length;
    if (
      !(
        space - at <= 10 &&
        Number.isInteger(length) &&
        equals > space &&
        equals < end &&
        end <= content.length
      )
    )
      throw invalidImage("a layer has a pax header that can't be read");
    records.set(content.toString("latin1", space + 1, equals), content.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}
