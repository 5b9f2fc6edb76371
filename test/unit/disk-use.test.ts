/** What takes the disk: allocated blocks, each file once. */
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DiskUse } from "../../api/disk.ts";
import { formatDisk, formatEntries } from "../../cli/df/df.ts";
import { type DiskPlace, measureDisk } from "../../engine/disk-use.ts";

const root = mkdtempSync(join(tmpdir(), "thaw-disk-use-"));
const outside = mkdtempSync(join(tmpdir(), "thaw-disk-outside-"));
const places: DiskPlace[] = (["snapshots", "captures", "sandboxes", "compressed"] as const).map((kind) => ({
  kind,
  folders: [join(root, kind)],
}));
places.push({ kind: "logs", folders: [], paths: [join(root, "events.jsonl"), join(root, "none")] });

function write(path: string, kib: number): string {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), Buffer.alloc(kib * 1024, 1));
  return join(root, path);
}
const allocated = (...paths: string[]): number =>
  paths.reduce((sum, path) => sum + statSync(join(root, path)).blocks * 512, 0);

beforeAll(() => {
  const layer = write("snapshots/a/layer", 256);
  write("snapshots/a/memory", 64);
  mkdirSync(join(root, "snapshots/b"));
  linkSync(layer, join(root, "snapshots/b/layer"));
  write("snapshots/b/memory", 32);
  write("snapshots/.draft/memory", 16);
  mkdirSync(join(root, "sandboxes/one/execs"), { recursive: true });
  linkSync(layer, join(root, "sandboxes/one/layer"));
  truncateSync(write("sandboxes/one/disk", 8), 1 << 30);
  write("sandboxes/one/execs/x1.log", 8);
  write("compressed/0123456789abcdef01.zst", 128);
  write("events.jsonl", 4);
  writeFileSync(join(outside, "big"), Buffer.alloc(512 * 1024, 1));
  symlinkSync(outside, join(root, "sandboxes/one/away"));
  symlinkSync(outside, join(root, "captures"));
});
afterAll(() => {
  for (const folder of [root, outside]) rmSync(folder, { recursive: true, force: true });
});

const measure = (...prunable: Parameters<typeof measureDisk>[2] & object) =>
  measureDisk(root, places, prunable);
type Kind = DiskUse["kinds"][number];
const kindOf = ({ kinds }: Pick<DiskUse, "kinds">, kind: string) =>
  kinds.find((one) => one.kind === kind) as Kind;

test("a file with several names is counted once, holes are not, and no link is followed", async () => {
  const measured = await measure();
  const snapshots = ["snapshots/a", "snapshots/b", "snapshots/.draft"];
  const memory = snapshots.map((folder) => `${folder}/memory`);
  expect(kindOf(measured, "snapshots")).toMatchObject({
    count: 2,
    bytes: allocated(...snapshots, ...memory, "snapshots/a/layer"),
  });
  const own = ["", "/disk", "/execs", "/execs/x1.log"].map((path) => `sandboxes/one${path}`);
  const sandboxes = kindOf(measured, "sandboxes");
  // Beside these there is the symbolic link, which has no more than a block.
  expect(sandboxes.bytes - allocated(...own)).toBeGreaterThanOrEqual(0);
  expect(sandboxes.bytes - allocated(...own)).toBeLessThanOrEqual(4096);
  expect(kindOf(measured, "logs")).toMatchObject({ count: 1, bytes: allocated("events.jsonl") });
  expect(measured.bytes).toBe(measured.kinds.reduce((sum, { bytes }) => sum + bytes, 0));
  expect(measured.notCounted).toEqual([{ path: "captures", reason: "is not a folder" }]);
});

test("the removal of an entry frees what no other entry has", async () => {
  const measured = await measure();
  const [a, b] = kindOf(measured, "snapshots").entries;
  expect(a).toEqual({
    ...{ id: "a", name: null },
    bytes: allocated("snapshots/a", "snapshots/a/memory", "snapshots/a/layer"),
    freesBytes: allocated("snapshots/a", "snapshots/a/memory"),
  });
  expect(b?.freesBytes).toBe(allocated("snapshots/b", "snapshots/b/memory"));
});

test("what is pruned together frees what only those share", async () => {
  const both = [
    { kind: "snapshots", id: "a" },
    { kind: "snapshots", id: "b" },
  ] as const;
  const files = ["a", "a/memory", "b", "b/memory"].map((path) => `snapshots/${path}`);
  expect(kindOf(await measure(...both), "snapshots").prunableBytes).toBe(allocated(...files));
  const all = await measure(...both, { kind: "sandboxes", id: "one" });
  expect(kindOf(all, "snapshots").prunableBytes).toBe(allocated(...files, "snapshots/a/layer"));
  const part = await measure({ kind: "compressed", id: "0123456789abcdef" });
  expect(kindOf(part, "compressed").prunableBytes).toBe(allocated("compressed/0123456789abcdef01.zst"));
  expect(part.prunableBytes).toBe(kindOf(part, "compressed").prunableBytes);
  const unknown = await measureDisk(root, places, null);
  expect([unknown.prunableBytes, kindOf(unknown, "snapshots").prunableBytes]).toEqual([null, null]);
});

test("what can't be looked at is named, and the rest is counted", async () => {
  const deep = join(root, "snapshots/a", ...Array.from({ length: 20 }, () => "d"));
  mkdirSync(deep, { recursive: true });
  const shut = join(root, "captures-2/shut");
  mkdirSync(shut, { recursive: true });
  chmodSync(shut, 0);
  try {
    const more = [...places, { kind: "captures", folders: [join(root, "captures-2")] } as const];
    const { notCounted, kinds } = await measureDisk(root, more, []);
    expect(notCounted.find(({ path }) => path.startsWith("snapshots/a/d/d"))?.reason).toMatch(/folders deep/);
    // root may look into it
    const isShut = process.getuid?.() !== 0;
    expect(notCounted.find(({ path }) => path === "captures-2/shut")?.reason).toBe(
      isShut ? "EACCES" : undefined,
    );
    expect(kinds.at(-1)).toMatchObject({ count: 1, bytes: allocated("captures-2/shut") });
    expect(kindOf({ kinds }, "snapshots").count).toBe(2);
  } finally {
    rmSync(join(root, "snapshots/a/d"), { recursive: true });
    rmSync(join(root, "captures-2"), { recursive: true });
  }
});

test("as tables", () => {
  const kind = { count: 0, bytes: 0, prunableBytes: 0, entries: [] };
  const entry = { name: null, bytes: 2048, freesBytes: 0 };
  const use: DiskUse = {
    home: "/var/lib/thaw",
    disk: { totalBytes: 40 * 2 ** 30, freeBytes: 12 * 2 ** 30, reserveBytes: 256 * 2 ** 20 },
    ...{ bytes: 7168, prunableBytes: 4096, notCounted: [] },
    kinds: [
      {
        ...{ kind: "snapshots", count: 2, bytes: 7168, prunableBytes: 4096 },
        entries: [
          { ...entry, id: "aa", name: "base" },
          { ...entry, id: "bb", bytes: 5120, freesBytes: 4096 },
        ],
      },
      { ...kind, kind: "captures" },
      { ...kind, kind: "rootfs", count: 1, entries: [{ ...entry, id: "cc" }] },
    ],
  };
  expect(formatDisk(use)).toBe(
    [
      "KIND               COUNT  SIZE     PRUNE FREES",
      "snapshots          2      7.0 KiB  4.0 KiB",
      "root file systems  1      0 B      0 B",
      "all                –      7.0 KiB  4.0 KiB",
      "12 GiB of 40 GiB are free on the disk of /var/lib/thaw; 256 MiB are reserved\n",
    ].join("\n"),
  );
  expect(formatEntries(use)).toBe(
    "\nKIND      ID  NAME  SIZE     FREES\nsnapshot  bb  –     5.0 KiB  4.0 KiB\nsnapshot  aa  base  2.0 KiB  0 B\n",
  );
  expect(formatDisk({ ...use, prunableBytes: null })).toMatch(/^all +– +7.0 KiB +unknown$/m);
});
