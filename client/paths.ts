import { lstatSync, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { MAX_SOCKET_PATH_BYTES } from "../api/socket-path.ts";
import { ThawError } from "./errors.ts";
import { hasHostDaemon, hostDaemon } from "./host-daemon.ts";

type Environment = Record<string, string | undefined>;

/** Where the daemon keeps its state and where it listens. */
export interface ThawPaths {
  home: string;
  socket: string;
  /** false for the host's own daemon: it is systemd's to start and replace. */
  autostart?: boolean | undefined;
}

function defaultHome(env: Environment): string {
  const state = env.XDG_STATE_HOME || join(env.HOME || homedir(), ".local", "state");
  return resolve(state, "thaw");
}

/** Not by node:crypto, whose loading is a tenth of a short command's time. */
function shortHash(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text))).slice(0, 8);
}

/** The folder for sockets, which have to be short: `$XDG_RUNTIME_DIR/thaw`, `/run/thaw` for root, else `/tmp/thaw-<uid>`. */
export function findRuntimeFolder(env: Environment = process.env): string {
  if (env.XDG_RUNTIME_DIR) return join(env.XDG_RUNTIME_DIR, "thaw");
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? "/run/thaw" : `/tmp/thaw-${uid}`;
}

/**
 * Finds the state folder and the socket from `THAW_HOME`, `THAW_SOCKET` and the XDG variables. Two homes never share a socket.
 * @throws ThawError `usage` when the socket's path is too long.
 */
export function findPaths(env: Environment = process.env): ThawPaths {
  // Without a word of its own a client goes where everybody of the host goes.
  if (!env.THAW_HOME && !env.THAW_SOCKET && hasHostDaemon())
    return { home: hostDaemon.home, socket: hostDaemon.socket, autostart: false };
  const standard = defaultHome(env);
  const home = env.THAW_HOME ? resolve(env.THAW_HOME) : standard;
  const runtime = findRuntimeFolder(env);
  const folder = home === standard ? runtime : join(runtime, `h-${shortHash(home)}`);
  const socket = env.THAW_SOCKET ? resolve(env.THAW_SOCKET) : join(folder, "thaw.sock");
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new ThawError(
      "usage",
      `the socket's path ${socket} has ${bytes} bytes; ${MAX_SOCKET_PATH_BYTES} is the limit`,
      {
        hint: "set THAW_SOCKET (or XDG_RUNTIME_DIR) to a shorter path, e.g. THAW_SOCKET=/tmp/thaw.sock",
      },
    );
  }
  return { home, socket };
}

/**
 * Refuses a socket folder (or its parent) that somebody else made: in `/tmp` anybody could wait there for our requests.
 * @throws ThawError `host-not-ready` when one is a link, or belongs neither to this user nor to root.
 */
export function checkSocketFolder(socket: string): void {
  const folder = dirname(socket);
  const uid = process.getuid?.() ?? 0;
  for (const path of [folder, dirname(folder)]) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    const ours = stats.uid === uid || stats.uid === 0;
    const isOpen = stats.isDirectory() && (stats.mode & 0o1002) === 0o002;
    if (ours && !isOpen && (stats.isDirectory() || path !== folder)) continue;
    const what = !ours
      ? `belongs to uid ${stats.uid}, not to ${uid}`
      : isOpen
        ? "can be written by everybody"
        : "is not a folder";
    throw new ThawError("host-not-ready", `${path} (the folder for thaw's socket) ${what}`, {
      hint: "set THAW_SOCKET to a path in a folder of your own",
    });
  }
}

/**
 * Refuses a socket that somebody else made, and its folder as {@link checkSocketFolder}. A socket that is not there is fine.
 * @throws ThawError `host-not-ready`.
 */
export function checkSocket(socket: string): void {
  checkSocketFolder(socket);
  const uid = process.getuid?.() ?? 0;
  const link = lstatSync(socket, { throwIfNoEntry: false });
  const target = statSync(socket, { throwIfNoEntry: false });
  for (const stats of [link, target]) {
    if (stats === undefined || stats.uid === uid || stats.uid === 0) continue;
    throw new ThawError("host-not-ready", `the socket ${socket} belongs to uid ${stats.uid}, not to ${uid}`, {
      hint: "set THAW_SOCKET to a path in a folder of your own",
    });
  }
  if (target !== undefined && !target.isSocket())
    throw new ThawError("host-not-ready", `${socket} is the path of thaw's socket, but it is not a socket`, {
      hint: "remove it, or set THAW_SOCKET to another path",
    });
}

function describeUnwritable(folder: string, error: unknown): ThawError {
  const reason = (error as Error).message;
  return new ThawError("host-not-ready", `can't write thaw's folder ${folder}: ${reason}`, {
    hint: `set THAW_HOME to a folder you may write, or: sudo chown -R $(id -u) ${folder}`,
    cause: error,
  });
}

/** Makes the state folder and the socket's, mode 0700. @throws ThawError `host-not-ready` when it can't. */
export function makeFolders(paths: ThawPaths): void {
  const folder = dirname(paths.socket);
  for (const path of [paths.home, folder]) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw describeUnwritable(path, error);
    }
  }
  checkSocket(paths.socket);
}
