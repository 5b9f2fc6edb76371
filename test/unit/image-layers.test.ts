/** Layers of images, made into one tree and written by the real tar. No registry, no machine. */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineError } from "../../engine/errors.ts";
import { namespacedArgv } from "../../engine/rootfs/argv.ts";
import { extract } from "../../engine/rootfs/image/build.ts";
import { readLayers } from "../../engine/rootfs/image/layers.ts";
import { type Entry, file, folder, hardLink, layer, link, opaque, whiteout } from "../helpers/image.ts";

const { signal } = new AbortController();
const asRoot = process.getuid?.() === 0;
let scratch: string;
let count = 0;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "thaw-layers-"));
});
afterAll(() => {
  const [command, ...words] = namespacedArgv(asRoot, ["rm", "-rf", scratch]);
  spawnSync(command, words);
});

async function read(blobs: readonly Buffer[], { diskMib = 64, room = async (_: number) => {} } = {}) {
  const dir = join(scratch, String(count++));
  await mkdir(dir);
  const paths = blobs.map((_, n) => join(dir, `blob-${n}`));
  await Promise.all(blobs.map((bytes, n) => writeFile(paths[n] ?? "", bytes)));
  const layers = { blobs: paths, scratch: (n: number) => join(dir, `layer-${n}`) };
  return { dir, ...(await readLayers({ ...layers, diskMib, room, signal })) };
}

/** What the layers come to: `PATH`, `PATH=CONTENT`, `PATH -> TARGET`, `PATH/`, sorted; as written by tar. */
async function written(...blobs: Buffer[]): Promise<string[]> {
  const { dir, tree, layers } = await read(blobs);
  const into = join(dir, "tree");
  await mkdir(into);
  await extract({ tree, layers, folder: into, asRoot, signal });
  await Promise.all(layers.map((one) => one.close()));
  const script = `cd "$1" && find . -mindepth 1 -printf '%y %P\\t%l\\n' | while IFS="$(printf '\\t')" read -r path target; do
    case "$path" in d*) echo "\${path#d }/";; l*) echo "\${path#l } -> $target";; f*) echo "\${path#f }=$(cat "\${path#f }")";; *) echo "$path";; esac; done`;
  return within(["sh", "-c", script, "sh", into]).trimEnd().split("\n").filter(Boolean).sort();
}

function within(command: string[]): string {
  const [program, ...words] = namespacedArgv(asRoot, command);
  const { stdout, stderr, status } = spawnSync(program, words, { encoding: "utf8" });
  expect(status, stderr).toBe(0);
  return stdout;
}

async function refusal(...blobs: Buffer[]): Promise<EngineError> {
  const error = await read(blobs).catch((one: unknown) => one);
  if (!(error instanceof EngineError)) throw new Error(`not refused: ${error}`);
  return error;
}

const lower = layer(folder("a"), file("a/x", "low"), file("a/y", "low"), folder("a/b"), file("a/b/z", "low"));

describe("one layer upon another", () => {
  test.each<[string, Entry[], string[]]>([
    ["a whiteout hides a file", [whiteout("a/x")], ["a/", "a/b/", "a/b/z=low", "a/y=low"]],
    ["a whiteout hides a folder", [whiteout("a/b")], ["a/", "a/x=low", "a/y=low"]],
    [
      "a whiteout hides nothing that is not there",
      [whiteout("q/r"), whiteout("a/q")],
      ["a/", "a/b/", "a/b/z=low", "a/x=low", "a/y=low"],
    ],
    [
      "a whiteout before the file of its own layer",
      [whiteout("a/b"), folder("a/b"), file("a/b/n", "new")],
      ["a/", "a/b/", "a/b/n=new", "a/x=low", "a/y=low"],
    ],
    [
      "a whiteout after the file of its own layer",
      [folder("a/b"), file("a/b/n", "new"), whiteout("a/b")],
      ["a/", "a/b/", "a/b/n=new", "a/x=low", "a/y=low"],
    ],
    [
      "a whiteout after a file of the same name",
      [file("a/x", "new"), whiteout("a/x")],
      ["a/", "a/b/", "a/b/z=low", "a/x=new", "a/y=low"],
    ],
    ["an opaque folder, said first", [opaque("a"), file("a/n", "new")], ["a/", "a/n=new"]],
    [
      "an opaque folder, said last, over folders within it",
      [folder("a"), folder("a/b"), file("a/b/n", "new"), opaque("a")],
      ["a/", "a/b/", "a/b/n=new"],
    ],
    [
      "an opaque folder, said twice",
      [opaque("a"), file("a/n", "1"), opaque("a"), file("a/m", "2")],
      ["a/", "a/m=2", "a/n=1"],
    ],
    [
      "aufs's own files",
      [file(".wh..wh.aufs"), folder(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "")],
      ["a/", "a/b/", "a/b/z=low", "a/x=low", "a/y=low"],
    ],
    [
      "a folder in place of a file",
      [folder("a/x"), file("a/x/n", "new")],
      ["a/", "a/b/", "a/b/z=low", "a/x/", "a/x/n=new", "a/y=low"],
    ],
    ["a file in place of a folder", [file("a", "new")], ["a=new"]],
    ["a folder without an entry", [file("p/q/r", "new"), whiteout("a")], ["p/", "p/q/", "p/q/r=new"]],
    [
      "a hard link into a lower layer",
      [hardLink("a/h", "a/x"), whiteout("a/x"), whiteout("a/y"), whiteout("a/b")],
      ["a/", "a/h=low"],
    ],
    ["a hard link to itself", [hardLink("a/x", "./a/x")], ["a/", "a/b/", "a/b/z=low", "a/x=low", "a/y=low"]],
    [
      "names that lead upwards and from the root",
      [file("../../e1", "1"), file("/e2", "2"), file("a/../../e3", "3"), whiteout("a")],
      ["e1=1", "e2=2", "e3=3"],
    ],
  ])("%s", async (_, entries, expected) => {
    expect(await written(lower, layer(...entries))).toEqual(expected);
  });

  test("a link replaced by a folder, and back", async () => {
    const first = layer(folder("run"), file("run/old", "1"), folder("var"), link("var/run", "../run"));
    const second = layer(folder("var/run"), file("var/run/new", "2"));
    expect(await written(first, second)).toEqual(["run/", "run/old=1", "var/", "var/run/", "var/run/new=2"]);
    const third = layer(link("var/run", "/run"));
    expect(await written(first, second, third)).toEqual(["run/", "run/old=1", "var/", "var/run -> /run"]);
  });

  test("links lead within the tree only", async () => {
    const outside = join(scratch, "outside");
    await mkdir(outside);
    const up = `${"../".repeat(12)}${outside}`;
    const layers = [
      layer(link("abs", outside), link("up", up), link("loop", "loop2"), link("loop2", "loop")),
      layer(file("abs/one", "1"), file("up/two", "2"), hardLink("hard", `${up}/two`)),
    ];
    const inside = outside.slice(1);
    const parents = inside.split("/").map((_, n, parts) => `${parts.slice(0, n + 1).join("/")}/`);
    const expected = [
      ...[`abs -> ${outside}`, "hard=2", "loop -> loop2", "loop2 -> loop", `up -> ${up}`],
      ...[...parents, `${inside}/one=1`, `${inside}/two=2`],
    ];
    expect(await written(...layers)).toEqual(expected.sort());
    expect(within(["find", outside, "-mindepth", "1"])).toBe("");
    expect((await refusal(layers[0] as Buffer, layer(file("loop/x")))).message).toMatch(/too many links/);
  });

  test("127 layers", async () => {
    const layers = Array.from({ length: 127 }, (_, n) =>
      layer(file("last", String(n)), file(`n${n}`, ""), ...(n > 0 ? [whiteout(`n${n - 1}`)] : [])),
    );
    expect(await written(...layers)).toEqual(["last=126", "n126="]);
  });

  test("gzip, zstd with more than one frame, and neither", async () => {
    const half = (bytes: Buffer): Buffer[] => [bytes.subarray(0, 700), bytes.subarray(700)];
    const layers = [
      gzipSync(layer(file("g", "1"))),
      Buffer.concat(half(layer(file("z", "2"))).map((part) => zstdCompressSync(part))),
      layer(file("n", "3")),
    ];
    expect(await written(...layers)).toEqual(["g=1", "n=3", "z=2"]);
  });
});

test("owners, modes, times, attributes, long names and bytes that are no text", async () => {
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
  const long = `${"d".repeat(120)}/${"f".repeat(200)}`;
  const entries = [
    folder("s", { mode: 0o1777, mtime: 981_173_106 }),
    file("s/ping", "x", {
      ...{ mode: 0o4755, uid: 12, gid: 34, mtime: 981_173_107 },
      pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.overlay.opaque": "y" },
    }),
    file("short", "long", { pax: { path: long } }),
    { path: "k", type: "L", content: `${"g".repeat(150)}\0` },
    file("ignored", "gnu"),
    file("latin\xe9", ""),
    { path: "pipe", type: "6" },
    { path: "dev/null", type: "3" },
  ];
  const { dir, tree, layers } = await read([layer(...entries)]);
  const into = join(dir, "tree");
  await mkdir(into);
  await extract({ tree, layers, folder: into, asRoot, signal });
  await Promise.all(layers.map((one) => one.close()));
  const found = within(["find", into, "-mindepth", "1", "-printf", "%P %y %m %U:%G %Ts\\n"]).split("\n");
  expect(found).toEqual(
    expect.arrayContaining([
      "s d 1777 0:0 981173106",
      "s/ping f 4755 12:34 981173107",
      `${long} f 644 0:0 1000000000`,
      `${"g".repeat(150)} f 644 0:0 1000000000`,
      "pipe p 644 0:0 1000000000",
      "dev d 755 0:0 0",
    ]),
  );
  expect(found.some((line) => line.startsWith("dev/"))).toBe(false);
  expect(tree.devices).toBe(1);
  expect(within(["sh", "-c", 'ls "$1" | LC_ALL=C grep -c "^latin.$"', "sh", into])).toBe("1\n");
  const attributes = within([process.execPath, "-e", XATTRS, join(into, "s/ping")]);
  expect(attributes).toContain("security.capability");
  expect(attributes).not.toContain("overlay");
});
/** Names alone: the kernel translates the value. */
const XATTRS = `const {stdout} = require("node:child_process").spawnSync("tar", ["-c", "--xattrs", "--xattrs-include=*", "-f", "-", process.argv[1]]);
process.stdout.write(stdout.toString("latin1").match(/SCHILY\\.xattr\\.[a-z._]+/g)?.join(" ") ?? "")`;

describe("refused", () => {
  test.each<[string, Buffer, RegExp]>([
    ["what is not an archive", Buffer.alloc(2048, 7), /not a tar archive/],
    ["an archive that ends too soon", layer(file("f", "x".repeat(3000))).subarray(0, 1500), /in the middle/],
    ["an archive that ends in a header", layer(file("f")).subarray(0, 300), /in the middle/],
    ["gzip that is cut off", gzipSync(layer(file("f", "x"))).subarray(0, 40), /can't be uncompressed/],
    [
      "zstd that is cut off",
      zstdCompressSync(layer(file("f", "x"))).subarray(0, 40),
      /can't be uncompressed/,
    ],
    ["a sparse file", layer({ path: "s", type: "S", content: "" }), /sparse/],
    [
      "a sparse file of pax",
      layer(file("s", "", { pax: { "GNU.sparse.realsize": "9999999999" } })),
      /sparse/,
    ],
    [
      "a hard link to nothing",
      layer(hardLink("h", "/etc/shadow")),
      /hard link to "\/etc\/shadow", which is not/,
    ],
    ["a hard link to a folder", layer(folder("d"), hardLink("h", "d")), /not a file/],
    ["a size that is none", layer(file("f", "", { pax: { size: "-1" } })), /impossible size/],
    ["a broken pax header", layer({ path: "x", type: "x", content: "99 path=a\n" }, file("f")), /pax header/],
    [
      "a pax header without an end",
      layer({ path: "x", type: "x", content: "x".repeat(2 << 20) }),
      /header of/,
    ],
    ["a name with a NUL", layer(file("f", "", { pax: { path: "a\0b" } })), /NUL/],
    ["a name that is too long", layer(file("f", "", { pax: { path: "n".repeat(256) } })), /too long/],
    ["folders too deep", layer(file("f", "", { pax: { path: "d/".repeat(1500).concat("f") } })), /deep/],
    ["a link to nothing", layer(link("l", "")), /leads nowhere/],
  ])("%s", async (_, bytes, message) => {
    const { code, message: said } = await refusal(bytes);
    expect(code).toBe("build-failed");
    expect(said).toMatch(message);
  });

  test("layers that unpack to more than the disk", async () => {
    const bomb = gzipSync(layer(file("zeros", Buffer.alloc(40 << 20))), { level: 1 });
    const error = await refusal(bomb, bomb);
    expect(error.message).toMatch(/larger than the disk: its layers unpack to more than 64 MiB/);
    expect(error.hint).toMatch(/disk/);
  });

  test("more entries than the disk has inodes for", async () => {
    const names = Array.from({ length: 300 }, (_, n) => file(`f${n}`));
    const error = await read([layer(...names)], { diskMib: 2 }).catch((one: unknown) => one);
    expect((error as Error).message).toMatch(/more than 256 entries/);
  });

  test("a host without room", async () => {
    const room = async (): Promise<void> => {
      throw new EngineError("no-space", "full");
    };
    await expect(read([layer(file("f", "x"))], { room })).rejects.toMatchObject({ code: "no-space" });
  });
});
