import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ThawError } from "../../client/errors.ts";
import { HEADER_BYTES, kind, writeBytes, writeHeader } from "../../client/tree/format.ts";
import { packTree, type SkippedEntry } from "../../client/tree/pack.ts";
import { SourceFolder } from "../../client/tree/source-folder.ts";
import { type UnpackOptions, unpackTree } from "../../client/tree/unpack.ts";
import { walkFolder } from "../../client/tree/walk.ts";

let base = "";
let from = "";
let to = "";

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "thaw-tree-"));
  from = join(base, "from");
  to = join(base, "to");
  mkdirSync(from);
});
afterEach(() => {
  execFileSync("chmod", ["-R", "u+rwx", base]);
  rmSync(base, { recursive: true });
});

async function pack(folder: string, skipped: SkippedEntry[] = []): Promise<Buffer> {
  const entries = walkFolder(new SourceFolder(folder));
  return Buffer.concat(await collect(packTree(entries, { onSkipped: (entry) => skipped.push(entry) })));
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function unpack(bytes: Buffer, options: UnpackOptions = {}, piece = 64 * 1024) {
  return unpackTree(inPieces(bytes, piece), to, options);
}

interface Made {
  kind: number;
  path: string;
  mode?: number;
  rest?: Buffer;
}

/** A stream written by hand, as a hostile guest would. */
function craft(...records: Made[]): Buffer {
  const parts = records.map(({ kind: type, path, mode = 0o644, rest }) => {
    const bytes = Buffer.from(path, "latin1");
    const header = Buffer.alloc(HEADER_BYTES + bytes.length);
    writeHeader(header, 0, {
      kind: type,
      mode,
      mtime: { seconds: 1n, nanoseconds: 0 },
      uid: 0,
      gid: 0,
      path: bytes,
    });
    return Buffer.concat([header, rest ?? Buffer.alloc(0)]);
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const out = Buffer.alloc(bytes.length + 2);
  writeBytes(out, 0, bytes);
  return out;
}

function file(size: bigint, ...extents: [offset: bigint, data: string][]): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(size);
  const parts = [...extents, [size, ""] as [bigint, string]].map(([offset, data]) => {
    const extent = Buffer.alloc(12);
    extent.writeBigUInt64LE(offset);
    extent.writeUInt32LE(data.length, 8);
    return Buffer.concat([extent, Buffer.from(data, "latin1")]);
  });
  return Buffer.concat([head, ...parts]);
}

test("files, folders and links keep their bytes, modes and times", async () => {
  mkdirSync(join(from, "a/b"), { recursive: true });
  writeFileSync(join(from, "a/b/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(from, "empty"), "");
  const big = randomBytes(333_333);
  writeFileSync(join(from, "big"), big);
  symlinkSync("a/b/run.sh", join(from, "link"));
  symlinkSync("../empty", join(from, "a/up"));
  utimesSync(join(from, "big"), 1_000_000, 1_234_567.5);
  utimesSync(join(from, "a"), 1, 999);
  chmodSync(join(from, "a/b"), 0o555);
  const stream = await pack(from);
  for (const piece of [1, 7, 65_536]) {
    const result = await unpack(stream, {}, piece);
    expect(result.skipped).toEqual([]);
    expect(result.bytes).toBe(big.length + 10);
    expect(readFileSync(join(to, "big")).equals(big)).toBe(true);
    expect(statSync(join(to, "big")).mtimeMs).toBe(1_234_567_500);
    expect(statSync(join(to, "a")).mtimeMs).toBe(999_000);
    expect(statSync(join(to, "a/b")).mode & 0o7777).toBe(0o555);
    expect(statSync(join(to, "a/b/run.sh")).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(to, "link"))).toBe("a/b/run.sh");
    expect(readlinkSync(join(to, "a/up"))).toBe("../empty");
    execFileSync("chmod", ["-R", "u+rwx", to]);
    rmSync(to, { recursive: true });
  }
});

test("names with newlines and names that are not UTF-8 survive", async () => {
  const names = [Buffer.from("new\nline"), Buffer.from([0x66, 0xff, 0xfe]), Buffer.from("tab\t\u001b[31m")];
  for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${from}/`), name]), name);
  await unpack(await pack(from));
  const there = readdirSync(to, { encoding: "buffer" }).sort(Buffer.compare);
  expect(there).toEqual([...names].sort(Buffer.compare));
});

test("names of one file stay names of one file; links to anything else are a fault", async () => {
  mkdirSync(join(from, "d"));
  writeFileSync(join(from, "d/first"), "one");
  linkSync(join(from, "d/first"), join(from, "second"));
  linkSync(join(from, "d/first"), join(from, "d/third"));
  const stream = await pack(from);
  await unpack(stream);
  const inodes = ["d/first", "second", "d/third"].map((name) => statSync(join(to, name)).ino);
  expect(new Set(inodes).size).toBe(1);
  await unpack(stream, { overwrite: true });
  expect(statSync(join(to, "second")).nlink).toBe(3);
  writeFileSync(join(to, "mine"), "mine");
  for (const target of ["mine", "d/none", "../mine", "/etc/passwd", "d"]) {
    const planted = craft({ kind: kind.link, path: "trap", rest: text(target) });
    await expect(unpack(planted, { overwrite: true })).rejects.toMatchObject({ code: "agent-fault" });
  }
  const swapped = craft(
    { kind: kind.directory, path: "s" },
    { kind: kind.file, path: "s/f", rest: file(1n, [0n, "x"]) },
    { kind: kind.symlink, path: "s/f", rest: text("../mine") },
    { kind: kind.link, path: "out", rest: text("s/f") },
  );
  await expect(unpack(swapped, { overwrite: true })).rejects.toMatchObject({ code: "agent-fault" });
  expect(existsSync(join(to, "out"))).toBe(false);
});

test("a folder is never left by a path", () => {
  writeFileSync(join(base, "outside"), "x");
  mkdirSync(join(from, "d"));
  symlinkSync("..", join(from, "up"));
  const folder = new SourceFolder(from);
  for (const path of ["..", "../outside", "d/..", "d/../../outside", "up/outside", ".", "d/.", "d//x"]) {
    const stats = (() => {
      try {
        return folder.stat(Buffer.from(path));
      } catch {
        return undefined;
      }
    })();
    expect(stats, path).toBeUndefined();
    expect(() => folder.open(Buffer.from(path)), path).toThrow();
  }
  folder.release();
});

test("holes stay holes", async () => {
  const path = join(from, "sparse");
  writeFileSync(path, "begin");
  truncateSync(path, 200 * 2 ** 20);
  writeFileSync(path, "end", { flag: "a" });
  const stream = await pack(from);
  expect(stream.length).toBeLessThan(300_000);
  await unpack(stream);
  const stats = statSync(join(to, "sparse"));
  expect(stats.size).toBe(200 * 2 ** 20 + 3);
  expect(stats.blocks * 512).toBeLessThan(1_000_000);
  expect(execFileSync("cmp", [path, join(to, "sparse")]).length).toBe(0);
});

test("what can't be part of a tree is skipped by name", async () => {
  execFileSync("mkfifo", [join(from, "pipe")]);
  const server = createServer().listen(join(from, "socket"));
  symlinkSync("/etc/passwd", join(from, "absolute"));
  symlinkSync("../../etc/passwd", join(from, "escaping"));
  writeFileSync(join(from, "fine"), "fine");
  const skipped: SkippedEntry[] = [];
  const stream = await pack(from, skipped);
  server.close();
  const result = await unpack(stream);
  const expected = [
    ["absolute", "a symlink to an absolute path"],
    ["escaping", "a symlink that leaves the tree"],
    ["pipe", "a named pipe"],
    ["socket", "a socket"],
  ];
  // links are packed as they are; whoever unpacks on a host refuses those that lead out
  expect(skipped.map(({ path, reason }) => [path.toString(), reason])).toEqual(expected.slice(2));
  expect(result.skipped.map(({ path, reason }) => [path.toString(), reason])).toEqual(expected);
  expect(readdirSync(to)).toEqual(["fine"]);
});

test("a file that shrinks while it is packed is named and dropped, one that goes is left out; the stream is whole", async () => {
  writeFileSync(join(from, "a"), randomBytes(3 << 20));
  writeFileSync(join(from, "gone"), "x");
  const chunks: Buffer[] = [];
  const skipped: SkippedEntry[] = [];
  const onSkipped = (entry: SkippedEntry): number => skipped.push(entry);
  for await (const chunk of packTree(walkFolder(new SourceFolder(from)), { onSkipped })) {
    chunks.push(Buffer.from(chunk));
    truncateSync(join(from, "a"), 1 << 20);
    rmSync(join(from, "gone"), { force: true });
  }
  const result = await unpack(Buffer.concat(chunks));
  for (const list of [skipped, result.skipped])
    expect(list.map(({ path, reason }) => `${path}: ${reason}`)).toEqual([
      expect.stringMatching(/^a: became shorter while it was read: \d+ of 3145728 bytes$/),
    ]);
  expect(existsSync(join(to, "a"))).toBe(false);
  expect(existsSync(join(to, "gone"))).toBe(false);
});

test("given content goes in instead of the file's", async () => {
  writeFileSync(join(from, "config"), "secret");
  const entry = {
    folder: new SourceFolder(from),
    source: Buffer.from("config"),
    path: Buffer.from("config"),
    content: Buffer.from("clean"),
  };
  await unpack(Buffer.concat(await collect(packTree([entry]))));
  expect(readFileSync(join(to, "config"), "utf8")).toBe("clean");
});

test.each([
  ["an empty path", craft({ kind: kind.directory, path: "" }), /empty path/],
  ["an absolute path", craft({ kind: kind.directory, path: "/etc" }), /empty part/],
  ["a climbing path", craft({ kind: kind.directory, path: "../x" }), /\.\. part/],
  ["a path that climbs in the middle", craft({ kind: kind.directory, path: "a/../../x" }), /\.\. part/],
  ["a dot", craft({ kind: kind.directory, path: "./x" }), /\. or \.\./],
  ["a NUL", craft({ kind: kind.directory, path: "a\0b" }), /NUL/],
  ["a name too long for a file system", craft({ kind: kind.directory, path: "x".repeat(256) }), /255/],
  ["a path too long", craft({ kind: kind.directory, path: "x/".repeat(2100) }), /4096/],
  ["an unknown kind", craft({ kind: 9, path: "x" }), /unknown kind/],
  ["a mode out of range", craft({ kind: kind.directory, path: "x", mode: 0o10000 }), /mode/],
  ["a child without its folder", craft({ kind: kind.directory, path: "a/b" }), /before the folder/],
  [
    "an extent beyond the end",
    craft({ kind: kind.file, path: "f", rest: file(3n, [1n, "abc"]) }),
    /extent at 1/,
  ],
  [
    "extents out of order",
    craft({ kind: kind.file, path: "f", rest: file(9n, [4n, "ab"], [2n, "ab"]) }),
    /extent at 2/,
  ],
  ["a size without end", craft({ kind: kind.file, path: "f", rest: file(2n ** 63n) }), /is the limit/],
  ["bytes behind the end", Buffer.concat([craft(), Buffer.from("x")]), /after its end/],
  ["a stream that stops", craft({ kind: kind.directory, path: "abc" }).subarray(0, 20), /middle of a record/],
  ["nothing at all", Buffer.alloc(0), /middle of a record/],
])("%s is a fault", async (_name, stream, message) => {
  await expect(unpack(stream)).rejects.toThrow(message);
  await expect(unpack(stream)).rejects.toBeInstanceOf(ThawError);
});

test("a link planted in the stream is not followed", async () => {
  const outside = join(base, "outside");
  mkdirSync(outside);
  const planted = craft(
    { kind: kind.directory, path: "d" },
    { kind: kind.symlink, path: "d/link", rest: text("..") },
    { kind: kind.file, path: "d/link/f", rest: file(1n, [0n, "x"]) },
  );
  await expect(unpack(planted)).rejects.toThrow(/not a folder/);
  rmSync(to, { recursive: true });
  mkdirSync(to);
  symlinkSync(outside, join(to, "here"));
  await expect(unpack(craft({ kind: kind.file, path: "here/f", rest: file(1n, [0n, "x"]) }))).rejects.toThrow(
    /not a folder/,
  );
  symlinkSync(join(outside, "new"), join(to, "dangling"));
  const over = craft({ kind: kind.file, path: "dangling", rest: file(1n, [0n, "x"]) });
  await expect(unpack(over)).rejects.toMatchObject({ code: "conflict" });
  await unpack(over, { overwrite: true });
  expect(lstatSync(join(to, "dangling")).isFile()).toBe(true);
  expect(readdirSync(outside)).toEqual([]);
});

test.each(["/etc/passwd", "../x", "a/../../x", "a/..", "", "./../x"])(
  "a link to %j is refused by name",
  async (target) => {
    const result = await unpack(craft({ kind: kind.symlink, path: "link", rest: text(target) }));
    expect(result.skipped.map(({ path }) => path.toString())).toEqual(["link"]);
    expect(readdirSync(to)).toEqual([]);
  },
);

test("nothing becomes setuid, setgid or sticky, and what would have is named", async () => {
  const reduced: string[] = [];
  await unpack(
    craft(
      { kind: kind.directory, path: "d", mode: 0o7777 },
      { kind: kind.file, path: "d/f", mode: 0o6755, rest: file(1n, [0n, "x"]) },
    ),
    { onReduced: ({ path, reason }) => reduced.push(`${path} ${reason}`) },
  );
  expect(reduced).toEqual(["d mode 7777 without its first digit", "d/f mode 6755 without its first digit"]);
  expect(statSync(join(to, "d")).mode & 0o7777).toBe(0o777);
  expect(statSync(join(to, "d/f")).mode & 0o7777).toBe(0o755);
});

test("attributes are told of the entry before, once", async () => {
  const folder = { kind: kind.directory, path: "d" };
  const names = { kind: kind.attributes, path: "d", rest: text("user.a\0system.posix_acl_default\0") };
  const told: unknown[] = [];
  const { entries } = await unpack(craft(folder, names), {
    onAttributes: (path, list) => told.push([path.toString(), list]),
  });
  expect(told).toEqual([["d", ["user.a", "system.posix_acl_default"]]]);
  expect(entries).toBe(1);
  const other = { ...names, path: "e" };
  const long = { ...names, rest: text("x".repeat(1025)) };
  await expect(unpack(craft(folder, long))).rejects.toThrow(/1025 bytes of attributes/);
  for (const records of [[names], [folder, names, names], [folder, other]])
    await expect(unpack(craft(...records))).rejects.toThrow(/which is not the entry before/);
});

test("limits end a stream", async () => {
  const two = craft({ kind: kind.directory, path: "a" }, { kind: kind.directory, path: "a/b" });
  await expect(unpack(two, { limits: { entries: 1 } })).rejects.toThrow(/1 entries/);
  await expect(unpack(two, { limits: { depth: 0 } })).rejects.toThrow(/0 folders deep/);
  const data = craft({ kind: kind.file, path: "f", rest: file(4n, [0n, "abcd"]) });
  await expect(unpack(data, { limits: { bytes: 3 } })).rejects.toThrow(/3 bytes/);
});

test("what is left out is read to its end and told; the rest is unpacked", async () => {
  mkdirSync(join(from, "a/secret/b"), { recursive: true });
  writeFileSync(join(from, "a/secret/b/large"), randomBytes(300_000));
  truncateSync(join(from, "a/secret/b/large"), 900_000);
  symlinkSync("b", join(from, "a/secret/link"));
  writeFileSync(join(from, "a/secret/1"), "1");
  linkSync(join(from, "a/secret/1"), join(from, "a/secret/2"));
  writeFileSync(join(from, "a/z"), "z");
  const { skipped } = await unpack(await pack(from), {
    leaveOut: (parts) => (parts.some((part) => String(part) === "secret") ? "no" : undefined),
  });
  const told = skipped.map(({ path, reason }) => `${path} ${reason}`).sort();
  expect(told).toEqual(["", "/1", "/2", "/b", "/b/large", "/link"].map((path) => `a/secret${path} no`));
  expect(readdirSync(join(to, "a"))).toEqual(["z"]);
  expect(readFileSync(join(to, "a/z"), "utf8")).toBe("z");
});
