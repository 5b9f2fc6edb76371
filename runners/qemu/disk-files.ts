/**
 * The files of a disk that nobody runs. Nothing is mounted: e2fsprogs reads the file system, in a jail. The journal is replayed first, into a
 * throw-away copy: until then even files that the guest has synced may be missing. Files are asked for by inode, so that no name of the guest's
 * becomes part of a command.
 */
import { join } from "node:path";
import { CACHE_ROOM_MIB } from "../../api/machine.ts";
import { type DiskEntry, type DiskFiles, type DiskWriting, RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { flattenDisk } from "./disk/convert.ts";
import { withinRoom } from "./disk/within-room.ts";
import { type JailedTool, runJailed, streamJailed } from "./jailed-tool.ts";

const ROOT_INODE = 2;
const LIST_TIMEOUT_MS = 60_000;
/** A journal has at most some hundred megabytes. */
const REPLAY_TIMEOUT_MS = 120_000;
const MIB = 1024 * 1024;
/** What a journal usually adds to the image. A hostile disk's may add more: the room is looked at while it is replayed. */
const USUAL_JOURNAL_BYTES = 16 * MIB;
const IMAGE_FILE = "disk.raw";
const E2FSPROGS = { debianPackage: "e2fsprogs" };
const TYPES: Readonly<Record<string, DiskEntry["type"]>> = {
  "04": "dir",
  "10": "file",
  "12": "symlink",
  "01": "fifo",
  "14": "socket",
  "06": "block",
  "02": "char",
};

/** @param dir existing folder for the opened image; the caller removes it. */
export async function openDisk(
  context: Context,
  chain: { disks: readonly string[]; dir: string; diskMib: number },
  writing: DiskWriting,
): Promise<DiskFiles> {
  const { disks, dir, diskMib } = chain;
  const image = join(dir, IMAGE_FILE);
  await flattenDisk(context, { disks, target: image, diskMib, format: "raw" }, writing);
  await replayJournal(context, { image, fileBytes: (diskMib + CACHE_ROOM_MIB) * MIB }, writing);
  const ask = (request: string): JailedTool => ({
    ...E2FSPROGS,
    command: "/usr/sbin/debugfs",
    args: (show) => ["-R", request, show(image)],
    reads: [image],
    complaint: complaintOf,
  });
  return {
    root: ROOT_INODE,
    list: async (inode, parent, stop) => {
      const text = await runJailed(context, ask(`ls -p <${checkInode(inode)}>`), {
        timeoutMs: LIST_TIMEOUT_MS,
        signal: stop,
      });
      return parseListing(text, { inode, parent });
    },
    read: (inode, stop) => streamJailed(context, ask(`cat <${checkInode(inode)}>`), stop),
  };
}

/** A journal that can't be replayed is an error: what is on the disk without it may be long out of date. */
async function replayJournal(
  context: Context,
  { image, fileBytes }: { image: string; fileBytes: number },
  writing: DiskWriting,
): Promise<void> {
  const tool: JailedTool = {
    ...E2FSPROGS,
    command: "/usr/sbin/e2fsck",
    args: (show) => ["-p", "-E", "journal_only", show(image)],
    reads: [],
    writes: [image],
    fileBytes,
  };
  await withinRoom({ ...writing, target: image, bytes: USUAL_JOURNAL_BYTES }, (signal) =>
    runJailed(context, tool, { timeoutMs: REPLAY_TIMEOUT_MS, signal }),
  );
}

/** debugfs exits with 0 whatever goes wrong. On stderr it has its version first, and then what did. */
export function complaintOf(stderr: string): string | null {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "" && !/^debugfs \d[\d.]* \(/.test(line));
  return lines.length === 0 ? null : lines.slice(0, 5).join("\n");
}

function checkInode(inode: number): number {
  if (Number.isSafeInteger(inode) && inode >= ROOT_INODE) return inode;
  throw new RangeError(`inode ${inode}`);
}

/**
 * Lines of `/13/040755/0/0/name/size/`. A name may hold anything but a slash, line ends too. Throws `corrupt-snapshot` for what is not the listing
 * of this folder: each has itself in it, as `.`, and its parent, as `..`.
 */
export function parseListing(text: string, folder: { inode: number; parent: number }): DiskEntry[] {
  const line = /\/(\d{1,10})\/(\d{6})\/(\d{1,10})\/(\d{1,10})\/([^/]*)\/(\d*)\/(?:\n|$)/y;
  const entries: DiskEntry[] = [];
  const folders = new Set<string>();
  const own = new Map<string, number>();
  const body = text.trimEnd();
  while (line.lastIndex < body.length) {
    const at = line.lastIndex;
    const [, inode, mode = "", uid, gid, name = "", size] = line.exec(body) ?? [];
    if (inode === undefined)
      throw unreadable(`debugfs says ${JSON.stringify(body.slice(at, at + 100))} of it`);
    if (inode === "0") continue;
    if (name === "." || name === "..") {
      own.set(name, Number(inode));
      continue;
    }
    const type = TYPES[mode.slice(0, 2)];
    if (type === undefined || name === "" || Number(inode) < ROOT_INODE)
      throw unreadable(`it has ${JSON.stringify(name)}, of mode ${mode} and inode ${inode}`);
    if (type === "dir" && folders.has(inode))
      throw unreadable(`it has a folder twice, also as ${JSON.stringify(name)}`);
    if (type === "dir") folders.add(inode);
    const permissions = Number.parseInt(mode.slice(2), 8);
    entries.push({
      ...{ inode: Number(inode), name, type, size: Number(size || 0), mode: permissions },
      ...{ uid: Number(uid), gid: Number(gid) },
    });
  }
  if (own.get(".") !== folder.inode || own.get("..") !== folder.parent)
    throw unreadable("it is not a folder, or not one of the folder that names it");
  return entries;
}

function unreadable(why: string): RunnerError {
  return new RunnerError("corrupt-snapshot", `a folder of the disk can't be read: ${why}`);
}
