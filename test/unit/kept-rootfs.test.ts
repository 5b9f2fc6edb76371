import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { publishListed } from "../../durable/inventory.ts";
import { keptRootfs } from "../../engine/rootfs/kept.ts";
import { diskFault } from "../../runners/qemu/disk/convert.ts";

const root = mkdtempSync("/tmp/thaw-kept-");
const { signal } = new AbortController();
const DISK_MIB = 64;
const runner = { diskFault: (start: Buffer, mib: number) => diskFault(start, mib * 2 ** 20) };
let serial = 0;

afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A folder with a disk that has some megabytes of content. */
function folder(): { dir: string; disk: string } {
  const dir = join(root, String(++serial));
  mkdirSync(dir, { recursive: true });
  const [raw, disk] = [join(dir, "raw"), join(dir, "disk.qcow2")];
  writeFileSync(raw, Buffer.alloc(4 << 20, "content"));
  truncateSync(raw, DISK_MIB * 2 ** 20);
  execFileSync("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, disk]);
  rmSync(raw);
  return { dir, disk };
}

const kept = (dir: string) => keptRootfs(dir, { diskMib: DISK_MIB, runner, signal });

test("with a list of its files it is used when every byte is there", async () => {
  const { dir } = folder();
  const target = join(root, "published");
  await publishListed(dir, target);
  const disk = join(target, "disk.qcow2");
  expect(await kept(target)).toBe(disk);
  truncateSync(disk, statSync(disk).size - 1);
  expect(await kept(target)).toBeNull();
  await publishListed(folder().dir, target);
  expect(await kept(target)).toBe(disk);
});

test("of an older version it is used, and gets a list, when its tables say that it is whole", async () => {
  const { dir, disk } = folder();
  expect(await kept(dir)).toBe(disk);
  expect(existsSync(join(dir, "files.json"))).toBe(true);
});

test.each([
  ["empty", 0],
  ["cut off in its tables", 70_000],
  ["cut off in its content", 1 << 21],
])("of an older version and %s, it is not used", async (_what, bytes) => {
  const { dir, disk } = folder();
  truncateSync(disk, bytes);
  expect(await kept(dir)).toBeNull();
  expect(existsSync(join(dir, "files.json"))).toBe(false);
});

test("no folder, no disk: it has to be made", async () => {
  expect(await kept(join(root, "absent"))).toBeNull();
});
