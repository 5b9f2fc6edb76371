/** Unix sockets on the host that forwards make. Whoever asks names their paths: nothing that is there is replaced, and nobody else can replace them. */

import { lstat, realpath, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { EngineError } from "../errors.ts";

/** Why no sockets are made, and where none are. */
export interface HostSocketRules {
  /** null: they are made. */
  refused: string | null;
  /** Folders of thaw's own. */
  ownFolders: readonly string[];
}

/** Folders of the kernel's devices and files: no socket is made in them. */
const SYSTEM_FOLDERS = ["/dev", "/proc", "/sys"];
const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;
const ASK_MS = 5_000;

/**
 * Listens at `path`, for this user only. A socket of this user that nobody listens at, as a killed daemon leaves it, is replaced. The server
 * removes the socket when it closes. Throws `usage` or `conflict`; nothing listens then.
 */
export async function listenAtPath(server: Server, path: string, rules: HostSocketRules): Promise<void> {
  await checkFolder(path, rules);
  await removeDead(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    // The daemon's umask lets nobody else connect; libuv sets no other rights.
    const umask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off("error", reject);
        server.on("error", () => {});
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

/** Every folder on the way has to be one in which only this user, or root, can put something in the socket's place. */
async function checkFolder(path: string, { refused, ownFolders }: HostSocketRules): Promise<void> {
  if (refused !== null) throw new EngineError("usage", `can't listen at ${path}: ${refused}`);
  const folder = dirname(path);
  const refuse = (why: string, hint?: string): never => {
    throw new EngineError("usage", `can't listen at ${path}: ${why}`, { hint });
  };
  const real = await realpath(folder).catch((error: NodeJS.ErrnoException) =>
    refuse(error.code === "ENOENT" ? `there is no folder ${folder}` : `${folder}: ${error.code}`),
  );
  if (real !== folder) refuse(`${folder} contains a symbolic link`, `use the real path: ${real}`);
  const owner = [...SYSTEM_FOLDERS, ...ownFolders].find((one) => isWithin(folder, one));
  if (owner !== undefined) refuse(`${owner} can't hold a forward's socket`);
  for (let at = folder; ; at = dirname(at)) {
    const fault = faultOf(await lstat(at));
    if (fault !== null)
      refuse(`${at} ${fault}: other users could replace the socket`, "use a folder that only you can write");
    if (at === "/") return;
  }
}

function faultOf({ mode, uid, gid }: { mode: number; uid: number; gid: number }): string | null {
  if (uid !== 0 && uid !== process.getuid?.()) return `belongs to user ${uid}`;
  if ((mode & STICKY) !== 0) return null;
  if ((mode & OTHERS_WRITE) !== 0) return "can be written by everybody";
  // The group of a user alone has the user's own id.
  if ((mode & GROUP_WRITE) !== 0 && gid !== 0 && gid !== process.getgid?.())
    return `can be written by group ${gid}`;
  return null;
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** Throws `conflict` for everything that is not a dead socket of this user. */
async function removeDead(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  const taken = (what: string): EngineError => new EngineError("conflict", `${path} is taken: ${what}`);
  if (!found.isSocket()) throw taken("there is a file that is not a socket");
  if (found.uid !== process.getuid?.()) throw taken(`there is a socket of user ${found.uid}`);
  if (!(await isDead(path))) throw taken("another program listens on it");
  await unlink(path).catch(() => {});
}

function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.setTimeout(ASK_MS, () => socket.destroy());
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      resolve(code === "ECONNREFUSED" || code === "ENOENT"),
    );
    socket.once("connect", () => socket.destroy());
    socket.once("close", () => resolve(false));
  });
}
