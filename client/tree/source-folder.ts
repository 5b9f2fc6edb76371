import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
} from "node:fs";
import { ThawError } from "../errors.ts";

/** Linux' O_PATH, which node:fs does not name: a descriptor that opens nothing, so that no device and no pipe notices. */
const O_PATH = 0o10000000;
const FOLDER_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Deeper folders are refused: each level holds a descriptor. The receiver's limit is the same. */
const MAX_DEPTH = 256;
const SLASH = 0x2f;

function systemError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}

function inFolder(fd: number, name: Uint8Array | string): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), Buffer.from(name)]);
}

function checkName(name: Buffer): void {
  const text = name.length > 2 ? "" : name.toString("latin1");
  if (name.length === 0 || text === "." || text === "..")
    throw systemError("ENOENT", "a path with an empty, . or .. part");
}

/** A regular file that was opened. The caller closes it. */
export interface OpenFile {
  fd: number;
  stats: BigIntStats;
}

/**
 * A folder of this host that files are read from. Every path is opened part by part, and no part may be a link: what is read lies in the
 * folder, also while somebody renames and links there. Paths are relative raw bytes; the empty path is the folder itself.
 * Folders on the way to the last path stay open until `release`.
 */
export class SourceFolder {
  /** Its real path. */
  readonly path: string;
  readonly #identity: string;
  #top: number | undefined;
  #below: { name: Buffer; fd: number }[] = [];
  /** The folder of the last path, and what its names are put behind. */
  #last: { parent: Buffer; prefix: Buffer } | undefined;

  /** @throws ThawError `usage` when `path` is not a folder. */
  constructor(path: string) {
    if (!existsSync("/proc/self/fd"))
      throw new ThawError("unsupported", "files are read through /proc, which is not here: Linux only");
    try {
      this.path = realpathSync(path);
      this.#top = openSync(this.path, FOLDER_FLAGS);
    } catch (error) {
      throw new ThawError("usage", `${path} is not a folder: ${(error as NodeJS.ErrnoException).code}`, {
        cause: error,
      });
    }
    this.#identity = this.#identify(this.#top);
  }

  /** Closes what is open. The folder can be read again afterwards. */
  release(): void {
    this.#closeBelow(0);
    if (this.#top !== undefined) closeSync(this.#top);
    this.#top = undefined;
  }

  /** What lies at `path`, links not followed; undefined when there is nothing. */
  stat(path: Buffer): BigIntStats | undefined {
    if (path.length === 0) return fstatSync(this.#openTop(), { bigint: true });
    try {
      return lstatSync(this.#locate(path), { bigint: true });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw error;
    }
  }

  /** Names in a folder, sorted. @throws system errors. */
  list(path: Buffer): Dirent<Buffer>[] {
    const folder = inFolder(this.#enter(path), ".");
    const entries = readdirSync(folder, { withFileTypes: true, encoding: "buffer" }) as Dirent<Buffer>[];
    return entries.sort((a, b) => a.name.compare(b.name));
  }

  readLink(path: Buffer): Buffer {
    return readlinkSync(this.#locate(path), "buffer");
  }

  /**
   * Opens a file for reading, after `stat` said that it is a regular one; undefined when something else is there by now.
   * @throws system errors.
   */
  open(path: Buffer): OpenFile | undefined {
    const fd = openSync(this.#locate(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(fd, { bigint: true });
    if (stats.isFile()) return { fd, stats };
    closeSync(fd);
    return undefined;
  }

  /**
   * A small file as a whole; undefined when there is none.
   * @throws ThawError `usage` when it is something else than a file, can't be read or has more than `limit` bytes.
   */
  read(path: Buffer, limit: number): Buffer | undefined {
    const shown = this.show(path);
    const stats = this.stat(path);
    if (stats === undefined) return undefined;
    try {
      const file = stats.isFile() ? this.open(path) : undefined;
      if (file === undefined) throw new ThawError("usage", `${shown} is not a regular file`);
      try {
        return readBounded(file.fd, limit, shown);
      } finally {
        closeSync(file.fd);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (error instanceof ThawError || code === undefined) throw error;
      throw new ThawError("usage", `can't read ${shown}: ${code}`, { cause: error });
    }
  }

  /** A path on this host, for people. */
  show(path: Uint8Array): string {
    return path.length === 0 ? this.path : `${this.path}/${Buffer.from(path).toString("utf8")}`;
  }

  #locate(path: Buffer): Buffer {
    const at = Math.max(path.lastIndexOf(SLASH), 0);
    const parent = path.subarray(0, at);
    // most paths share their folder with the one before
    if (this.#last === undefined || !this.#last.parent.equals(parent)) {
      const prefix = inFolder(this.#enter(parent), "");
      this.#last = { parent: Buffer.from(parent), prefix };
    }
    const name = path.subarray(at === 0 ? 0 : at + 1);
    checkName(name);
    return Buffer.concat([this.#last.prefix, name]);
  }

  /** @returns a descriptor of the folder at `path`, part by part; the parts shared with the last path are open already. */
  #enter(path: Buffer): number {
    let fd = this.#openTop();
    let depth = 0;
    for (let from = 0; from < path.length; depth++) {
      const at = path.indexOf(SLASH, from);
      const end = at < 0 ? path.length : at;
      const name = path.subarray(from, end);
      const known = this.#below[depth];
      if (known?.name.equals(name) === true) fd = known.fd;
      else fd = this.#descend(fd, name, depth);
      from = end + 1;
    }
    return fd;
  }

  #descend(parent: number, name: Buffer, depth: number): number {
    this.#closeBelow(depth);
    if (depth >= MAX_DEPTH) throw systemError("ENAMETOOLONG", `${MAX_DEPTH} folders deep is the limit`);
    checkName(name);
    const fd = openSync(inFolder(parent, name), FOLDER_FLAGS);
    this.#below.push({ name: Buffer.from(name), fd });
    return fd;
  }

  #closeBelow(depth: number): void {
    this.#last = undefined;
    for (const { fd } of this.#below.splice(depth)) closeSync(fd);
  }

  #openTop(): number {
    if (this.#top !== undefined) return this.#top;
    const fd = this.#reopen();
    if (this.#identify(fd) === this.#identity) {
      this.#top = fd;
      return fd;
    }
    closeSync(fd);
    throw new ThawError("conflict", `${this.path} was replaced by another folder while it was read`);
  }

  #reopen(): number {
    try {
      return openSync(this.path, FOLDER_FLAGS);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new ThawError("conflict", `${this.path} was replaced while it was read: ${code}`, {
        cause: error,
      });
    }
  }

  #identify(fd: number): string {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}:${ino}`;
  }
}

function readBounded(fd: number, limit: number, shown: string): Buffer {
  const parts: Buffer[] = [];
  let total = 0;
  for (;;) {
    const part = Buffer.allocUnsafe(Math.min(limit + 1 - total, 1 << 20));
    const read = readSync(fd, part, 0, part.length, null);
    if (read === 0) return Buffer.concat(parts, total);
    total += read;
    if (total > limit) throw new ThawError("usage", `${shown} has more than ${limit} bytes`);
    parts.push(part.subarray(0, read));
  }
}
