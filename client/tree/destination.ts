import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import { ThawError } from "../errors.ts";
import { type RecordHeader, showPath, treeFault } from "./format.ts";
import { joinPath } from "./walk.ts";

/** Never setuid, setgid or sticky: what comes out of a guest gets no rights here. */
const allowedMode = 0o777;
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

type Times = RecordHeader["mtime"];

/** The times a Date can tell; file systems tell less. */
const MAX_SECONDS = 8_640_000_000_000;

/** A time as node:fs wants it: seconds, but before 1970 a Date, since it takes negative seconds for now. */
function toTime(time: Times): number | Date {
  const seconds = Number(time.seconds) + time.nanoseconds / 1e9;
  const clamped = Math.max(-MAX_SECONDS, Math.min(MAX_SECONDS, seconds));
  return clamped < 0 ? new Date(clamped * 1000) : clamped;
}

/**
 * The folder a tree is unpacked into. Makes things beneath it only: every folder on the way was made here, or was seen to be a real
 * folder and not a link.
 */
export class Destination {
  readonly #root: Buffer;
  readonly #overwrite: boolean;
  readonly #folders = new Set<string>();
  /** Files made here: only they get further names. */
  readonly #files = new Set<string>();
  /** Folders' modes and times, set at the end: a read-only one could not be filled, and filling changes the time. */
  readonly #finish: { path: Buffer; mode: number; mtime: Times }[] = [];

  /** @throws ThawError `usage` when `root` is not a folder. */
  constructor(root: string, overwrite: boolean) {
    this.#root = Buffer.from(root);
    this.#overwrite = overwrite;
    mkdirSync(root, { recursive: true });
  }

  makeFolder(header: RecordHeader, parts: readonly Buffer[]): void {
    const path = this.#locate(header.path, parts);
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) mkdirSync(path, { mode: 0o700 });
    else if (!there.isDirectory()) this.#clear(path, header.path);
    if (there !== undefined && !there.isDirectory()) mkdirSync(path, { mode: 0o700 });
    this.#folders.add(header.path.toString("latin1"));
    this.#finish.push({ path, mode: header.mode & allowedMode, mtime: header.mtime });
  }

  /** Creates a file, which must not be there. @returns its descriptor; the caller closes it. */
  createFile(path: Buffer, parts: readonly Buffer[]): number {
    const full = this.#locate(path, parts);
    if (this.#overwrite) this.#clear(full, path);
    const fd = openSync(full, createFlags, 0o600);
    this.#files.add(path.toString("latin1"));
    return fd;
  }

  /** Gives a file its length (when a hole ends it), mode and time, and closes it. */
  finishFile(fd: number, header: RecordHeader, hole: number | undefined): void {
    try {
      if (hole !== undefined) ftruncateSync(fd, hole);
      fchmodSync(fd, header.mode & allowedMode);
      futimesSync(fd, toTime(header.mtime), toTime(header.mtime));
    } finally {
      closeSync(fd);
    }
  }

  /** Gives a file that was made here another name. */
  makeLink(
    link: { path: Buffer; parts: readonly Buffer[] },
    file: { path: Buffer; parts: readonly Buffer[] },
  ): void {
    if (!this.#files.has(file.path.toString("latin1")))
      throw treeFault(
        `${showPath(link.path)} is a hard link to ${showPath(file.path)}, which did not come before`,
      );
    const full = this.#locate(link.path, link.parts);
    const target = this.#locate(file.path, file.parts);
    if (this.#overwrite) this.#clear(full, link.path);
    linkSync(target, full);
  }

  /** Removes a file that was made here. */
  removeFile(path: Buffer, parts: readonly Buffer[]): void {
    unlinkSync(this.#locate(path, parts));
    this.#files.delete(path.toString("latin1"));
  }

  makeSymlink(header: RecordHeader, parts: readonly Buffer[], target: Buffer): void {
    const path = this.#locate(header.path, parts);
    if (this.#overwrite) this.#clear(path, header.path);
    symlinkSync(target, path);
    lutimesSync(path, toTime(header.mtime), toTime(header.mtime));
  }

  /** Sets what could not be set before the folders were filled, the deepest first. */
  finish(): void {
    for (let last = this.#finish.pop(); last !== undefined; last = this.#finish.pop()) {
      const stats = lstatSync(last.path, { throwIfNoEntry: false });
      if (stats?.isDirectory() !== true) continue;
      utimesSync(last.path, toTime(last.mtime), toTime(last.mtime));
      chmodSync(last.path, last.mode);
    }
  }

  /** The path on this host, once its parent is known to be a real folder. */
  #locate(path: Buffer, parts: readonly Buffer[]): Buffer {
    let length = 0;
    for (const part of parts.slice(0, -1)) {
      length += part.length;
      this.#checkFolder(path.subarray(0, length));
      length += 1;
    }
    return joinPath(this.#root, path);
  }

  #checkFolder(folder: Buffer): void {
    const key = folder.toString("latin1");
    if (this.#folders.has(key)) return;
    const stats = lstatSync(joinPath(this.#root, folder), { throwIfNoEntry: false });
    if (stats === undefined)
      throw treeFault(`an entry in the folder ${showPath(folder)} before the folder itself`);
    if (!stats.isDirectory()) throw treeFault(`an entry beneath ${showPath(folder)}, which is not a folder`);
    this.#folders.add(key);
  }

  /** Removes what is in the way, when that is wanted: never a folder. */
  #clear(full: Buffer, path: Buffer): void {
    if (!this.#overwrite) throw new ThawError("conflict", `${showPath(path)} is there already`);
    // a name that is something else now: a link made elsewhere could lead out
    this.#files.delete(path.toString("latin1"));
    const stats = lstatSync(full, { throwIfNoEntry: false });
    if (stats === undefined) return;
    if (stats.isDirectory()) throw new ThawError("conflict", `${showPath(path)} is already a folder`);
    unlinkSync(full);
  }
}
