/**
 * The room for cached folders: the end of a machine's disk, beyond its root file system. What is there travels as one more layer of the disk's
 * chain, so forks, captures, snapshots and all that is made of them have it without knowing of it. A layer holds that room and nothing else. The
 * host never looks into it: its file system is made empty here, and from then on only guests read and write it.
 */
import { open, rm, truncate } from "node:fs/promises";
import { CACHE_ROOM_MIB } from "../../../api/machine.ts";
import { type DiskWriting, RunnerError } from "../../runner.ts";
import type { Context } from "../context.ts";
import { type JailedTool, runJailed } from "../jailed-tool.ts";
import type { LiveSource } from "../machine.ts";
import { emptyQcow2 } from "../qcow2.ts";
import { diskBytesOf, readChain } from "./chain.ts";
import {
  chainOf,
  checkDiskFile,
  checkLayer,
  describeImage,
  type ImageSource,
  measureImage,
  QEMU_IMG,
} from "./convert.ts";
import { Cut } from "./cut.ts";
import { withinRoom } from "./within-room.ts";

const MIB = 1024 * 1024;
const ROOM_BYTES = CACHE_ROOM_MIB * MIB;
/** qcow2's own tables, beyond the disk's size. */
const OVERHEAD_BYTES = 64 * MIB;
const SECTOR = 512;
const LINUX_PARTITION = 0x83;
const COPY_TIMEOUT_MS = 300_000;
const TOOL_TIMEOUT_MS = 60_000;

/** What the guest mounts as its root: the whole of a disk without the room, or its first partition. */
export const ROOT_DISK = "/dev/vda";
export const ROOT_PARTITION = "/dev/vda1";

/**
 * Gives a root disk that nobody uses the room for cached folders, unless it has it. A table of two partitions then lies in the sector that ext4
 * leaves to boot loaders: a kernel that has mounted the whole disk lets nobody mount a part of it.
 * @returns whether it has the room; a disk of another size than its machine's has none
 */
export async function growDisk(
  context: Context,
  path: string,
  { diskMib, signal }: { diskMib: number; signal?: AbortSignal | undefined },
): Promise<boolean> {
  const rootBytes = diskMib * MIB;
  const bytes = rootBytes + ROOM_BYTES;
  const found = await checkDiskFile(path, rootBytes);
  if (!found.ok || found.virtualSize === bytes) return found.ok;
  const limits = { timeoutMs: TOOL_TIMEOUT_MS, signal };
  const grow = {
    ...QEMU_IMG,
    args: (show: Show) => ["resize", "-q", "-f", "qcow2", show(path), String(bytes)],
    ...{ reads: [], writes: [path], fileBytes: bytes + OVERHEAD_BYTES },
  };
  await runJailed(context, grow, limits);
  const table = `${path}.table`;
  try {
    await makeFile(table, partitionTable(rootBytes / SECTOR, ROOM_BYTES / SECTOR));
    const source = (show: Show): object => ({
      driver: "raw",
      file: { driver: "file", filename: show(table) },
    });
    const place = { offset: 0, size: SECTOR };
    const copy = copyTool({ ...place, target: path, reads: [table], source });
    // The disk's first sector may be anywhere in its file.
    await runJailed(context, { ...copy, fileBytes: bytes + OVERHEAD_BYTES }, limits);
  } finally {
    await rm(table, { force: true });
  }
  return true;
}

/** A PC's partition table: the first partition begins at the first sector, where the table is. Numbers of sectors. */
function partitionTable(root: number, room: number): Buffer {
  const table = Buffer.alloc(SECTOR);
  const partitions = [
    { start: 0, length: root },
    { start: root, length: room },
  ];
  for (const [index, { start, length }] of partitions.entries()) {
    const entry = 446 + 16 * index;
    table[entry + 4] = LINUX_PARTITION;
    table.writeUInt32LE(start, entry + 8);
    table.writeUInt32LE(length, entry + 12);
  }
  table.writeUInt16LE(0xaa55, 510);
  return table;
}

/** See `Runner.formatCache`. */
export async function formatCache(
  context: Context,
  { target, diskMib, ...writing }: { target: string; diskMib: number } & DiskWriting,
): Promise<void> {
  const image = `${target}.raw`;
  try {
    await makeFile(image, Buffer.alloc(0));
    await truncate(image, ROOM_BYTES);
    await runJailed(
      context,
      {
        command: "/usr/sbin/mke2fs",
        args: (show) => [
          ...["-q", "-F", "-t", "ext4", "-L", "thaw-cache", "-m", "0", "-J", "size=32"],
          // Guests are told not to fill in the tables behind: that would be written to each machine's disk.
          ...["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", show(image)],
        ],
        ...{ reads: [], writes: [image], fileBytes: ROOM_BYTES, debianPackage: "e2fsprogs" },
      },
      { timeoutMs: TOOL_TIMEOUT_MS, signal: writing.signal },
    );
    const diskBytes = diskMib * MIB + ROOM_BYTES;
    const source = (show: Show): object => ({
      driver: "raw",
      file: { driver: "file", filename: show(image) },
    });
    await copyRoom(context, { target, diskBytes, reads: [image], source }, writing);
  } finally {
    await rm(image, { force: true });
  }
}

/** See `Machine.saveCache`. */
export async function saveCache(
  context: Context,
  source: LiveSource,
  { target, ...writing }: { target: string } & DiskWriting,
): Promise<void> {
  const { record } = source;
  const chain = await readChain(record);
  const diskBytes = diskBytesOf(record, chain);
  if (diskBytes === record.resources.diskMib * MIB)
    throw new RunnerError("unsupported", `the disk of machine ${record.id} has no room for cached folders`);
  const disks = await cutDisk(source);
  for (const disk of disks) await checkLayer(disk, record.resources.diskMib * MIB);
  const room = (show: Show): object => ({
    ...{ driver: "raw", offset: diskBytes - ROOM_BYTES, size: ROOM_BYTES },
    file: chainOf(disks.map(show)),
  });
  await copyRoom(context, { target, diskBytes, reads: disks, source: room }, writing);
}

type Show = (path: string) => string;

/** Files of the disk as it is now, each immutable. */
async function cutDisk(source: LiveSource): Promise<string[]> {
  await using cut = await Cut.prepare(source, "difference");
  await cut.stop();
  try {
    await cut.cut();
  } finally {
    await cut.goOn();
  }
  return cut.layers();
}

/** Its source has the size of the room. */
interface Copy extends ImageSource {
  target: string;
  /** Virtual size of the disk that the layer is for. */
  diskBytes: number;
}

/** Every byte of the room is in the layer, zeros as well: what a snapshot's own disk has there does not show through. */
async function copyRoom(context: Context, copy: Copy, { room, signal }: DiskWriting): Promise<void> {
  const { target, diskBytes } = copy;
  const bytes = await measureImage(context, copy, signal);
  await makeFile(target, emptyQcow2(diskBytes));
  const tool = copyTool({ ...copy, offset: diskBytes - ROOM_BYTES, size: ROOM_BYTES });
  try {
    await withinRoom({ target, bytes, room, signal }, (stop) =>
      runJailed(context, tool, { timeoutMs: COPY_TIMEOUT_MS, signal: stop }),
    );
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  }
}

/** Writes over `size` bytes of a disk that is there, from `offset` on. */
function copyTool(copy: Omit<Copy, "diskBytes"> & { offset: number; size: number }): JailedTool {
  const { target, reads, source, offset, size } = copy;
  const into = (path: string): string =>
    [
      ...["driver=raw", `offset=${offset}`, `size=${size}`, "file.driver=qcow2", "file.file.driver=file"],
      `file.file.filename=${path.replaceAll(",", ",,")}`,
    ].join(",");
  return {
    ...QEMU_IMG,
    args: (show) => [
      ...["convert", "-n", "--target-image-opts"],
      ...[describeImage(source(show)), into(show(target))],
    ],
    ...{ reads, writes: [target], fileBytes: offset + size + OVERHEAD_BYTES },
  };
}

/** In a jail a file can only be written that is there already. */
async function makeFile(path: string, content: Buffer): Promise<void> {
  const made = await open(path, "wx", 0o600);
  try {
    await made.writeFile(content);
  } finally {
    await made.close();
  }
}
