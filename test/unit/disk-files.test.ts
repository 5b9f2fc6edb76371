import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Context } from "../../runners/qemu/context.ts";
import { withinRoom } from "../../runners/qemu/disk/within-room.ts";
import { complaintOf, openDisk, parseListing } from "../../runners/qemu/disk-files.ts";
import type { DiskFiles } from "../../runners/runner.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-disk-files-"));
const path = (name: string) => join(folder, name);
const { signal } = new AbortController();
// The tools themselves: the jail has tests of its own, and not every host of unit tests can make one.
const context = { jail: async () => ({ jailed: false }) } as unknown as Context;
const MIB = 64;
const BLOCK = 4096;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Commands for debugfs, which writes to the image. */
function debugfs(image: string, ...commands: string[]): string {
  writeFileSync(path("commands"), `${commands.join("\n")}\n`);
  return execFileSync("/usr/sbin/debugfs", ["-w", "-f", path("commands"), image], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** An ext4 whose file `f` is full of `o`; its journal holds that it is full of `N`. */
function withPendingJournal(image: string): void {
  writeFileSync(image, "");
  truncateSync(image, MIB * 2 ** 20);
  execFileSync("/usr/sbin/mke2fs", ["-q", "-t", "ext4", "-b", String(BLOCK), image]);
  writeFileSync(path("old"), "o".repeat(BLOCK));
  writeFileSync(path("new"), "N".repeat(BLOCK));
  debugfs(image, `write ${path("old")} f`);
  const block = /^\d+$/m.exec(debugfs(image, "bmap f 0"))?.[0];
  debugfs(image, "jo", `jw -b ${block} ${path("new")}`, "jc");
}

let serial = 0;
function open(image: string): Promise<DiskFiles> {
  const dir = path(`open-${++serial}`);
  mkdirSync(dir);
  const disk = join(dir, "disk.qcow2");
  execFileSync("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", image, disk]);
  return openDisk(context, { disks: [disk], dir, diskMib: MIB }, { room: async () => {}, signal });
}

async function read(disk: DiskFiles, name: string): Promise<string> {
  const entry = (await disk.list(disk.root, disk.root, signal)).find((one) => one.name === name);
  if (!entry) throw new Error(`there is no ${name}`);
  let text = "";
  for await (const chunk of disk.read(entry.inode, signal)) text += chunk;
  return text;
}

test("what is in the journal only is read, and the disk itself stays as it is", async () => {
  const image = path("pending.raw");
  withPendingJournal(image);
  expect(await read(await open(image), "f")).toBe("N".repeat(BLOCK));
  expect(debugfs(image, "cat f")).toContain("ooooo");
});

test("a disk that opens to more than there is room for is not opened, and nothing is left", async () => {
  const image = path("large.raw");
  writeFileSync(image, randomBytes(MIB * 2 ** 20));
  const dir = path("within-room");
  mkdirSync(dir);
  const disk = join(dir, "disk.qcow2");
  execFileSync("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", image, disk]);
  const asked: number[] = [];
  const room = async (bytes: number): Promise<void> => {
    asked.push(bytes);
    throw new Error("no room");
  };
  await expect(openDisk(context, { disks: [disk], dir, diskMib: MIB }, { signal, room })).rejects.toThrow(
    "no room",
  );
  expect(asked).toEqual([expect.any(Number)]);
  expect(asked[0]).toBeGreaterThanOrEqual(MIB * 2 ** 20);
  expect(readdirSync(dir)).toEqual(["disk.qcow2"]);
});

test("what writes is stopped when there is no more room meanwhile", async () => {
  const target = path("written");
  writeFileSync(target, "");
  let asked = 0;
  const room = async (): Promise<void> => {
    if (++asked > 3) throw new Error("no more room");
  };
  const work = (stop: AbortSignal) =>
    new Promise<never>((_, reject) => stop.addEventListener("abort", () => reject(stop.reason)));
  await expect(withinRoom({ target, bytes: 1, room, signal }, work)).rejects.toThrow("no more room");
});

test("a journal that can't be replayed is an error", async () => {
  const image = path("pending.raw");
  const damaged = path("damaged.raw");
  withPendingJournal(image);
  copyFileSync(image, damaged);
  const block = /^\d+$/m.exec(debugfs(damaged, "bmap <8> 0"))?.[0];
  execFileSync(
    "dd",
    ["if=/dev/urandom", `of=${damaged}`, `bs=${BLOCK}`, `seek=${block}`, "count=4", "conv=notrunc"],
    {
      stdio: "ignore",
    },
  );
  await expect(open(damaged)).rejects.toThrow(/e2fsck .*journal/s);
});

test("what is no file system is an error", async () => {
  const image = path("noise.raw");
  writeFileSync(image, Buffer.alloc(MIB * 2 ** 20, "noise"));
  await expect(open(image)).rejects.toThrow(/e2fsck .*(uper-?block)/s);
});

test("a folder that can't be read is an error, not an empty one; so is half a file", async () => {
  const image = path("broken.raw");
  withPendingJournal(image);
  debugfs(
    image,
    "mkdir d",
    "sif f flags 0x80000",
    "sif f block[0] 0",
    "sif d flags 0",
    "sif d block[0] 99999999",
  );
  const disk = await open(image);
  const entries = await disk.list(disk.root, disk.root, signal);
  const inode = (name: string) => entries.find((one) => one.name === name)?.inode ?? 0;
  await expect(disk.list(inode("d"), disk.root, signal)).rejects.toThrow();
  await expect(disk.list(inode("f"), disk.root, signal)).rejects.toThrow(/not a directory/);
  await expect(read(disk, "f")).rejects.toThrow(/debugfs/);
});

test("a folder that is in itself is an error, so that nobody walks in circles", async () => {
  const image = path("circle.raw");
  withPendingJournal(image);
  debugfs(
    image,
    "mkdir d",
    "cd d",
    "mkdir e",
    "link <2> root",
    "mkdir twice",
    "cd twice",
    "mkdir e",
    "link e again",
  );
  const disk = await open(image);
  const list = async (inode: number, parent: number) => {
    const entries = await disk.list(inode, parent, signal);
    return (name: string) => entries.find((one) => one.name === name)?.inode ?? 0;
  };
  const d = (await list(disk.root, disk.root))("d");
  const inD = await list(d, disk.root);
  await list(inD("e"), d);
  expect(inD("root")).toBe(disk.root);
  await expect(disk.list(inD("twice"), d, signal)).rejects.toThrow(/a folder twice/);
  await expect(disk.list(disk.root, d, signal)).rejects.toThrow(/not one of the folder that names it/);
});

test("names are the guest's: line ends and quotes, and nothing that looks like another line", () => {
  const root = { inode: 2, parent: 2 };
  const own = "/2/040755/0/0/.//\n/2/040755/0/0/..//\n";
  const entries = parseListing(`${own}/13/100644/0/0/a\n"b/5/\n/14/120777/1000/1000/l/3/\n\n`, root);
  expect(entries.map(({ name, type, size, uid }) => [name, type, size, uid])).toEqual([
    ['a\n"b', "file", 5, 0],
    ["l", "symlink", 3, 1000],
  ]);
  for (const said of [
    "",
    "\n",
    "/13/100644/0/0/f/5/\n",
    `${own}/13/100644/0/0/a/b/5/\n`,
    `${own}rubbish\n`,
    `${own}/13/000000/0/0/f/5/\n`,
    `${own}/1/100644/0/0/bad blocks/5/\n`,
  ])
    expect(() => parseListing(said, root), said).toThrow(/can't be read/);
});

test("debugfs complains on stderr, after its version", () => {
  expect(complaintOf("debugfs 1.47.0 (5-Feb-2023)\n")).toBeNull();
  expect(complaintOf("debugfs 1.47.2 (1-Jan-2025)\nls: Filesystem not open\n")).toBe(
    "ls: Filesystem not open",
  );
});
