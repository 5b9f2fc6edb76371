/**
 * The files of a disk that nobody runs. Nothing is mounted: e2fsprogs' debugfs reads the file system, in a jail. Files are asked for by inode,
 * so that no name of the guest's becomes part of a command.
 */
import { join } from "node:path";
import type { DiskEntry, DiskFiles } from "../runner.ts";
import type { Context } from "./context.ts";
import { flattenDisk } from "./flatten-disk.ts";
import { type JailedTool, runJailed, streamJailed } from "./jailed-tool.ts";

const ROOT_INODE = 2;
const LIST_TIMEOUT_MS = 60_000;
const IMAGE_FILE = "disk.raw";
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
  signal?: AbortSignal,
): Promise<DiskFiles> {
  const { disks, dir, diskMib } = chain;
  const image = join(dir, IMAGE_FILE);
  await flattenDisk(context, { disks, target: image, diskMib, format: "raw" }, signal);
  const ask = (request: string): JailedTool => ({
    command: "/usr/sbin/debugfs",
    args: (show) => ["-R", request, show(image)],
    reads: [image],
    debianPackage: "e2fsprogs",
  });
  return {
    root: ROOT_INODE,
    list: async (inode, stop) => {
      const text = await runJailed(context, ask(`ls -p <${checkInode(inode)}>`), {
        timeoutMs: LIST_TIMEOUT_MS,
        signal: stop,
      });
      return text.split("\n").flatMap(parseEntry);
    },
    read: (inode, stop) => streamJailed(context, ask(`cat <${checkInode(inode)}>`), stop),
  };
}

function checkInode(inode: number): number {
  if (Number.isSafeInteger(inode) && inode >= ROOT_INODE) return inode;
  throw new RangeError(`inode ${inode}`);
}

/** `/13/040755/0/0/name/size/`. A name may hold anything but a slash. */
export function parseEntry(line: string): DiskEntry[] {
  const [, inode, mode = "", uid, gid, name = "", size] =
    /^\/(\d{1,10})\/(\d{6})\/(\d{1,10})\/(\d{1,10})\/(.*)\/(\d*)\/$/.exec(line) ?? [];
  const type = TYPES[mode.slice(0, 2)];
  if (type === undefined || name === "." || name === ".." || name === "" || name.includes("/")) return [];
  const number = Number(inode);
  if (number < ROOT_INODE) return [];
  return [
    {
      ...{ inode: number, name, type, size: Number(size || 0), mode: Number.parseInt(mode.slice(2), 8) },
      ...{ uid: Number(uid), gid: Number(gid) },
    },
  ];
}
