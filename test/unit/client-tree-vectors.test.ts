/** The golden vectors that the guest's side is tested against too. */
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { refuseTarget, splitPath } from "../../client/tree/path.ts";
import { unpackTree } from "../../client/tree/unpack.ts";

interface VectorRecord {
  kind: string;
  mode: number;
  mtime: [string, number];
  path: string;
  size?: number;
  extents?: { offset: number; data: string }[];
  target?: string;
  reason?: string;
  names?: string;
}

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, "../vectors/tree.json"), "utf8")) as {
  hex: string;
  records: VectorRecord[];
  refused: { name: string; hex: string }[];
};

let to = "";
beforeEach(() => {
  to = mkdtempSync(join(tmpdir(), "thaw-vectors-"));
});
afterEach(() => rmSync(to, { recursive: true }));

async function* once(hex: string): AsyncGenerator<Buffer> {
  yield Buffer.from(hex, "hex");
}

function locate(path: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${to}/`), path]);
}

function expectFile(record: VectorRecord, full: Buffer): void {
  const bytes = Buffer.alloc(record.size ?? 0);
  for (const { offset, data } of record.extents ?? []) bytes.set(Buffer.from(data, "hex"), offset);
  if (bytes.length < 1 << 20) expect(readFileSync(full).equals(bytes)).toBe(true);
  const stats = lstatSync(full);
  expect(stats.size).toBe(record.size);
  expect(stats.mode & 0o7777).toBe(record.mode & 0o777);
  expect(Math.floor(stats.mtimeMs / 1000)).toBe(Number(record.mtime[0]));
}

test("the stream is unpacked as its records say", async () => {
  const attributes: string[][] = [];
  const onAttributes = (path: Buffer, names: string[]): number =>
    attributes.push([path.toString("hex"), ...names]);
  const { skipped, entries } = await unpackTree(once(vectors.hex), to, { onAttributes });
  const expectedSkipped: string[] = [];
  for (const record of vectors.records.filter(({ kind }) => !["end", "attributes"].includes(kind))) {
    const path = Buffer.from(record.path, "hex");
    const target = Buffer.from(record.target ?? "", "hex");
    const refused =
      record.kind === "symlink" && refuseTarget(target, splitPath(path).length - 1) !== undefined;
    if (record.kind === "skipped" || refused) expectedSkipped.push(record.path);
    else if (record.kind === "file") expectFile(record, locate(path));
    else if (record.kind === "symlink") expect(readlinkSync(locate(path), "buffer")).toEqual(target);
    else expect(lstatSync(locate(path)).isDirectory()).toBe(true);
  }
  expect(skipped.map(({ path }) => path.toString("hex"))).toEqual(expectedSkipped);
  const told = vectors.records.filter(({ kind }) => kind === "attributes");
  expect(attributes).toEqual(
    told.map(({ path, names = "" }) => [
      path,
      ...Buffer.from(names, "hex").toString().slice(0, -1).split("\0"),
    ]),
  );
  expect(entries).toBe(vectors.records.length - told.length - 1);
});

test.each(vectors.refused)("refused: $name", async ({ name, hex }) => {
  const refusal = unpackTree(once(hex), to);
  if (name === "cut short") await expect(refusal).rejects.toThrow(/ends in the middle/);
  else await expect(refusal).rejects.toThrow(/^bad tree stream: (?!it ends)/);
});
