import { createHash } from "node:crypto";

/** Larger ones are refused. A million files take about 100 MB. */
export const MAX_INDEX_BYTES = 256 << 20;
const MAX_PATH_BYTES = 4096;
/** Bytes of all paths; version 4 shares beginnings, so that a small file can hold many long ones. */
const MAX_PATHS_BYTES = 512 << 20;
const STAT_BYTES = 40;
/** Extensions that speak of this host's files, and those that say where others are in the file. git makes them again. */
const HOST_EXTENSIONS = new Set(["UNTR", "FSMN", "EOIE", "IEOT"]);
const KNOWN_MODES = new Set([0o100644, 0o100755, 0o100664, 0o120000, 0o160000, 0o040000]);

/** Why an index can't be read. */
export class GitIndexError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** A tracked path. */
export interface IndexEntry {
  /** latin1: a character for each byte. */
  path: string;
  mode: number;
  /** Object id, hex. */
  oid: string;
  /** 0 unless a merge is under way. */
  stage: number;
  /** A sparse checkout leaves it out of the work tree. */
  skipWorktree: boolean;
  /** Where its fields begin in the file. */
  at: number;
}

export const MODE = { link: 0o120000, repository: 0o160000, folder: 0o040000 } as const;

/** What git tracks, read from an index file (gitformat-index(5), versions 2 to 4). */
export class GitIndex {
  readonly entries: IndexEntry[] = [];
  readonly #content: Buffer;
  readonly #algorithm: "sha1" | "sha256";
  readonly #byPath = new Map<string, IndexEntry>();
  readonly #folders = new Set<string>();
  /** Where the entries end. */
  #end = 12;

  /** @throws GitIndexError */
  constructor(content: Buffer, algorithm: "sha1" | "sha256") {
    this.#content = content;
    this.#algorithm = algorithm;
    try {
      this.#readEntries();
      for (const [name] of this.#extensions()) refuseExtension(name);
    } catch (error) {
      if (error instanceof RangeError) throw new GitIndexError("it ends too early");
      throw error;
    }
  }

  /** The entry of a path: a file, a link or another repository. */
  get(path: string): IndexEntry | undefined {
    return this.#byPath.get(path);
  }

  /** Whether a path lies beneath the folder. */
  hasBeneath(folder: string): boolean {
    return this.#folders.has(folder);
  }

  /** Whether git takes a file with this time and size for unchanged (`core.checkStat=minimal`). */
  isCurrent(entry: IndexEntry, file: { seconds: number; size: number }): boolean {
    const seconds = this.#content.readUInt32BE(entry.at + 8);
    return seconds === file.seconds && this.#content.readUInt32BE(entry.at + 36) === file.size >>> 0;
  }

  /** The file with other times (seconds) and sizes for some entries, without extensions that speak of this host. */
  rewrite(stats: ReadonlyMap<IndexEntry, { seconds: number; nanoseconds: number; size: number }>): Buffer {
    const head = Buffer.from(this.#content.subarray(0, this.#end));
    for (const [entry, { seconds, nanoseconds, size }] of stats) {
      head.writeUInt32BE(seconds, entry.at + 8);
      head.writeUInt32BE(nanoseconds, entry.at + 12);
      head.writeUInt32BE(size >>> 0, entry.at + 36);
    }
    const kept = [...this.#extensions()].filter(([name]) => !HOST_EXTENSIONS.has(name));
    const body = Buffer.concat([head, ...kept.map(([, bytes]) => bytes)]);
    const sum = this.#unsummed() ? Buffer.alloc(this.#oidBytes) : this.#sum(body);
    return Buffer.concat([body, sum]);
  }

  get #oidBytes(): number {
    return this.#algorithm === "sha1" ? 20 : 32;
  }

  #sum(bytes: Buffer): Buffer {
    return createHash(this.#algorithm).update(bytes).digest();
  }

  #trailer(): Buffer {
    return this.#content.subarray(-this.#oidBytes);
  }

  /** `index.skipHash`: zeros instead of a checksum. */
  #unsummed(): boolean {
    return this.#trailer().every((byte) => byte === 0);
  }

  #readEntries(): void {
    const content = this.#content;
    if (content.length < 12 + this.#oidBytes || content.toString("latin1", 0, 4) !== "DIRC")
      throw new GitIndexError("it is no index");
    const version = content.readUInt32BE(4);
    if (version < 2 || version > 4) throw new GitIndexError(`version ${version} is unknown`);
    if (!this.#unsummed() && !this.#sum(content.subarray(0, -this.#oidBytes)).equals(this.#trailer()))
      throw new GitIndexError("its checksum is wrong");
    const count = content.readUInt32BE(8);
    const shortest = STAT_BYTES + this.#oidBytes + 2;
    if (count > content.length / shortest) throw new GitIndexError("it ends too early");
    let previous = "";
    let pathBytes = 0;
    for (let number = 0; number < count; number++) {
      const entry = this.#readEntry(version, previous);
      previous = entry.path;
      pathBytes += entry.path.length;
      if (pathBytes > MAX_PATHS_BYTES) throw new GitIndexError("its paths take too much memory");
      this.#add(entry);
    }
  }

  #readEntry(version: number, previous: string): IndexEntry {
    const content = this.#content;
    const at = this.#end;
    const mode = content.readUInt32BE(at + 24);
    if (!KNOWN_MODES.has(mode)) throw new GitIndexError(`mode ${mode.toString(8)} is unknown`);
    const oid = content.toString("hex", at + STAT_BYTES, at + STAT_BYTES + this.#oidBytes);
    let next = at + STAT_BYTES + this.#oidBytes;
    const flags = content.readUInt16BE(next);
    next += 2;
    const extended = (flags & 0x4000) !== 0 && version > 2 ? content.readUInt16BE(next) : 0;
    if ((flags & 0x4000) !== 0) next += 2;
    let shared = "";
    if (version === 4) {
      const { value, end } = readOffset(content, next);
      if (value > previous.length) throw new GitIndexError("a path is malformed");
      shared = previous.slice(0, previous.length - value);
      next = end;
    }
    const zero = content.indexOf(0, next);
    if (zero < 0 || zero - next + shared.length > MAX_PATH_BYTES)
      throw new GitIndexError("a path is too long");
    const path = shared + content.toString("latin1", next, zero);
    this.#end = version === 4 ? zero + 1 : at + ((zero - at + 8) & ~7);
    if (this.#end > content.length - this.#oidBytes) throw new GitIndexError("it ends too early");
    return { path, mode, oid, stage: (flags >> 12) & 3, skipWorktree: (extended & 0x4000) !== 0, at };
  }

  #add(entry: IndexEntry): void {
    this.entries.push(entry);
    const path = entry.path.replace(/\/$/, "");
    if (entry.mode === MODE.folder) this.#folders.add(path);
    else this.#byPath.set(path, entry);
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const folder = path.slice(0, at);
      if (this.#folders.has(folder)) break;
      this.#folders.add(folder);
    }
  }

  /** Names and whole bytes of the extensions. */
  *#extensions(): Generator<[string, Buffer]> {
    const content = this.#content;
    const end = content.length - this.#oidBytes;
    for (let at = this.#end; at < end; ) {
      const next = at + 8 + content.readUInt32BE(at + 4);
      if (next > end) throw new GitIndexError("an extension is malformed");
      yield [content.toString("latin1", at, at + 4), content.subarray(at, next)];
      at = next;
    }
  }
}

/** git's numbers of variable length: each byte but the last has its high bit set. */
function readOffset(content: Buffer, start: number): { value: number; end: number } {
  let at = start;
  let byte = content.readUInt8(at++);
  let value = byte & 0x7f;
  while ((byte & 0x80) !== 0) {
    if (at - start > 4) throw new GitIndexError("a path is malformed");
    byte = content.readUInt8(at++);
    value = ((value + 1) << 7) | (byte & 0x7f);
  }
  return { value, end: at };
}

/** What begins with a small letter changes what the entries mean. */
function refuseExtension(name: string): void {
  if (name === "link") throw new GitIndexError("it is a split index", "git update-index --no-split-index");
  if (name !== "sdir" && !/^[A-Z]/.test(name)) throw new GitIndexError(`its extension ${name} is unknown`);
}
