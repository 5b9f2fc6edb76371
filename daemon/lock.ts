/**
 * One daemon per state folder: a `flock` on a file in it. The kernel frees it however its holder ends, no other user can open the file, and two
 * containers with one state folder exclude each other. Node has no flock(2), so flock(1) of util-linux locks a descriptor that it inherits: the
 * lock belongs to the open file description, which stays open here. Node opens files close-on-exec, so no machine ever holds it.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { connect } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { paced } from "../host/pace.ts";

const holder = z.object({ pid: z.int(), host: z.string(), socket: z.string() });
/** The process that holds a lock, as it wrote it into the file. */
export type Holder = z.infer<typeof holder>;

/**
 * `held`: by this process, until it ends. `served`: another daemon answers at the socket. Otherwise another process holds the lock and does
 * not answer there; null when it has not written who it is.
 */
export type LockResult = "held" | "served" | { holder: Holder | null };

/** How long the holder may take to end or to begin to listen. A stopping daemon exits within 5 s. */
const WAIT_MS = 12_000;
/** Of one flock(1). Between two of them the socket is tried. */
const TRY_SECONDS = "0.1";
/** Exit code of flock(1) when another process held the lock all the time. */
const BUSY_EXIT = 75;

/** Where the lock of a state folder lies. The file is never removed. */
export function lockPath(home: string): string {
  return join(home, "daemon.lock");
}

/**
 * Takes the lock of `home`. Waits while its holder stops or starts, but not once a daemon serves `socket`. Throws when the file can't be
 * opened or there is no flock(1).
 */
export async function lockHome(home: string, socket: string, waitMs = paced(WAIT_MS)): Promise<LockResult> {
  const end = performance.now() + waitMs;
  for (;;) {
    if (await tryLock(lockPath(home), socket)) return "held";
    if (await canConnect(socket)) return "served";
    const found = readHolder(home);
    const servesElsewhere = found !== null && found.socket !== socket && (await canConnect(found.socket));
    if (servesElsewhere || performance.now() >= end) return { holder: found };
  }
}

async function tryLock(path: string, socket: string): Promise<boolean> {
  const fd = openLock(path);
  try {
    // Whoever can open the file can lock it.
    if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
    if (!(await flock(fd)) || !isAt(fd, path)) {
      closeSync(fd);
      return false;
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  try {
    ftruncateSync(fd);
    writeSync(fd, `${JSON.stringify({ pid: process.pid, host: hostname(), socket } satisfies Holder)}\n`, 0);
  } catch {
    // A full or read-only disk: the lock holds all the same, only its holder's name is missing.
  }
  return true;
}

/** On a read-only file system the file of an earlier daemon is locked, without the new holder's name. */
function openLock(path: string): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  try {
    return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EROFS") throw error;
    return openSync(path, O_RDONLY | O_NOFOLLOW);
  }
}

/** Locks the descriptor's open file description. False when another one is locked. */
function flock(fd: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const args = ["--timeout", TRY_SECONDS, "--conflict-exit-code", String(BUSY_EXIT), "3"];
    const child = spawn("flock", args, { stdio: ["ignore", "ignore", "inherit", fd] });
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? new Error("there is no flock (package util-linux)") : error),
    );
    child.once("exit", (code, signal) => {
      if (code === 0) resolve(true);
      else if (code === BUSY_EXIT) resolve(false);
      else reject(new Error(`flock ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

/** Whether the open file is still the one at `path`. */
function isAt(fd: number, path: string): boolean {
  const { dev, ino } = fstatSync(fd);
  const there = statSync(path, { throwIfNoEntry: false });
  return there?.dev === dev && there.ino === ino;
}

function readHolder(home: string): Holder | null {
  try {
    return holder.parse(JSON.parse(readFileSync(lockPath(home), "utf8")));
  } catch {
    return null;
  }
}

function canConnect(socket: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = connect(socket);
  connection.once("connect", () => resolve(true));
  connection.once("error", () => resolve(false));
  return promise.finally(() => connection.destroy());
}

/** What a daemon says that can't have `home`. */
export function describeHolder(home: string, holder: Holder | null): string {
  if (holder === null) return `another process holds ${lockPath(home)}\nhint: lsof ${lockPath(home)}`;
  const { pid, host, socket } = holder;
  const where = host === hostname() ? "" : ` on ${host}`;
  return `a daemon (process id ${pid}${where}) uses ${home} and listens at ${socket}\nhint: set THAW_SOCKET=${socket} to use it, or end it with kill ${pid}; its machines keep running`;
}
