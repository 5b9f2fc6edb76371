import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { afterEach, describe, expect, test } from "vitest";
import { moduleLibrary } from "../../runners/qemu/kernel/library.ts";
import { CHOICE, keepParts } from "../../runners/qemu/kernel/parts.ts";
import { prepareKernel } from "../../runners/qemu/kernel/prepare.ts";

const scratch: string[] = [];
afterEach(() => {
  for (const dir of scratch.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function folder(): string {
  const dir = mkdtempSync("/tmp/thaw-kernel-");
  scratch.push(dir);
  return dir;
}

/** As much of a kernel as tells its length: five sectors, and what its header says is behind them. */
function kernelImage(): Buffer {
  const image = Buffer.alloc(5 * 512 + 16);
  image.write("HdrS", 0x202);
  image.writeUInt32LE(1, 0x1f4);
  return image;
}

/** A module whose table of sections is its end. */
function kernelModule(): Buffer {
  const module = Buffer.alloc(128);
  module.write("\x7fELF", "latin1");
  module.writeBigUInt64LE(64n, 0x28);
  module.writeUInt16LE(64, 0x3a);
  module.writeUInt16LE(1, 0x3c);
  return module;
}

/** An unpacked kernel package. @param modules file names below `kernel/`, and what each says it depends on */
function kernelTree(modules: Record<string, string>, builtIn: readonly string[]): string {
  const tree = folder();
  mkdirSync(join(tree, "boot"));
  writeFileSync(join(tree, "boot/vmlinuz-6.12.1-cloud-amd64"), "kernel");
  const library = join(tree, "usr/lib/modules/6.12.1-cloud-amd64");
  mkdirSync(join(library, "kernel"), { recursive: true });
  writeFileSync(join(library, "modules.builtin"), builtIn.map((name) => `kernel/${name}.ko\n`).join(""));
  for (const [name, dependencies] of Object.entries(modules)) {
    const content = Buffer.from(`ELF\0depends=${dependencies}\0`);
    const packed = name.endsWith(".gz")
      ? gzipSync(content)
      : name.endsWith(".zst")
        ? zstdCompressSync(content)
        : content;
    writeFileSync(join(library, "kernel", name), packed);
  }
  return tree;
}

const version = "6.12.1-cloud-amd64";

test("modules come out plain however they are compressed, and built-in ones are not asked for", async () => {
  const tree = kernelTree(
    { "virtio_blk.ko.zst": "virtio_ring", "virtio_ring.ko.gz": "", "pvpanic-pci.ko": "" },
    ["virtio_pci", "virtio_console"],
  );
  const library = join(tree, "usr/lib/modules", version, "kernel");
  await execa("xz", ["pvpanic-pci.ko"], { cwd: library });
  const target = folder();
  await keepParts(tree, { version, target });
  expect(readFileSync(join(target, "modules.list"), "utf8")).toBe(
    "virtio_ring.ko\nvirtio_blk.ko\npvpanic_pci.ko\n",
  );
  expect(readFileSync(join(target, "pvpanic_pci.ko"), "latin1")).toBe("ELF\0depends=\0");
  expect(readFileSync(join(target, "virtio_blk.ko"), "latin1")).toContain("depends=virtio_ring");
  expect(readdirSync(target).sort()).toEqual([
    "modules.choice",
    "modules.list",
    "modules.tree",
    "pvpanic_pci.ko",
    "virtio_blk.ko",
    "virtio_ring.ko",
    "vmlinuz",
  ]);
});

/** What kmod finds under a key. Source: libkmod/libkmod-index.c, index_search__node. */
function lookUp(index: Buffer, key: string): string[] {
  const text = (at: number): string => index.toString("latin1", at, index.indexOf(0, at));
  let offset = index.readUInt32BE(8);
  for (let rest = key; ; ) {
    let at = offset % 2 ** 28;
    if (offset >= 2 ** 31) {
      const prefix = text(at);
      if (!rest.startsWith(prefix)) return [];
      rest = rest.slice(prefix.length);
      at += prefix.length + 1;
    }
    const hasChildren = (offset & 0x2000_0000) !== 0;
    const [first = 0, last = 0] = hasChildren ? index.subarray(at, at + 2) : [];
    const children = hasChildren ? at + 2 : at;
    if (rest === "") {
      if ((offset & 0x4000_0000) === 0) return [];
      at = hasChildren ? children + 4 * (last - first + 1) : at;
      const values: string[] = [];
      for (let n = index.readUInt32BE(at); n > 0; n--) {
        values.push(text(at + 8));
        at = index.indexOf(0, at + 8) - 3;
      }
      return values;
    }
    const byte = rest.charCodeAt(0);
    if (!hasChildren || byte < first || byte > last) return [];
    offset = index.readUInt32BE(children + 4 * (byte - first));
    if (offset === 0) return [];
    rest = rest.slice(1);
  }
}

test("what a guest can load: modules with all they depend on, and the lists by which the agent and kmod find them", () => {
  const module = (path: string, info: string) => ({ path, content: Buffer.from(`ELF\0${info}\0`) });
  const files = moduleLibrary(
    new Map([
      ["nf_nat", module("kernel/net/nf-nat.ko", "depends=nf_conntrack\0alias=ip-nat")],
      ["nf_conntrack", module("kernel/net/nf_conntrack.ko", "depends=libcrc32c")],
      ["libcrc32c", module("kernel/lib/libcrc32c.ko", "depends=\0softdep=pre: crc32c")],
      ["loop", module("kernel/drivers/loop.ko", "depends=\0alias=block-major-7-*\0alias=char-major-10-237")],
      ["xt_nat", module("kernel/net/xt_nat.ko", "depends=nf_nat,built_in\0alias=ip-nat")],
    ]),
    "kernel/fs/ext4/ext4.ko\nkernel/lib/crc-t10dif.ko\n",
  );
  const nat = "kernel/net/nf-nat.ko: kernel/net/nf_conntrack.ko kernel/lib/libcrc32c.ko";
  expect(String(files.get("modules.dep")).split("\n")).toContain(nat);
  expect(String(files.get("modules.alias")).split("\n")).toContain("alias block_major_7_* loop");
  expect(String(files.get("modules.softdep"))).toBe("softdep libcrc32c pre: crc32c\n");
  const index = (name: string, key: string) => lookUp(files.get(`modules.${name}.bin`) as Buffer, key);
  expect(index("dep", "nf_nat")).toEqual([nat]);
  expect(index("dep", "xt_nat")).toEqual([
    `kernel/net/xt_nat.ko: kernel/net/nf-nat.ko${nat.slice(nat.indexOf(":") + 1)}`,
  ]);
  expect(index("dep", "nf")).toEqual([]);
  expect(index("alias", "ip_nat")).toEqual(["nf_nat", "xt_nat"]);
  expect(index("alias", "block_major_7_*")).toEqual(["loop"]);
  expect(index("builtin", "crc_t10dif")).toEqual([""]);
});

test("the image of a kernel is found beside its modules, too", async () => {
  const tree = kernelTree({}, ["virtio_pci", "virtio_blk", "virtio_console"]);
  const library = join(tree, "usr/lib/modules", version);
  renameSync(join(tree, "boot", `vmlinuz-${version}`), join(library, "vmlinuz"));
  const target = folder();
  await keepParts(tree, { version, target });
  expect(readFileSync(join(target, "vmlinuz"), "utf8")).toBe("kernel");
  // Linux before 5.13 tells nobody of a panic.
  expect(readFileSync(join(target, "modules.list"), "utf8")).toBe("");
});

test("a kernel without a driver is refused with the names of all that it lacks", async () => {
  const tree = kernelTree({ "virtio_blk.ko": "" }, ["virtio_pci"]);
  await expect(keepParts(tree, { version, target: folder() })).rejects.toMatchObject({
    code: "unsupported",
    message: `kernel ${version} has no virtio_console: neither as a module nor built in`,
  });
});

test("each suite has its kernel; a version that is here is used whatever its suite", async () => {
  const kernelsDir = folder();
  const agentPath = join(kernelsDir, "agent");
  writeFileSync(agentPath, "agent");
  for (const [name, suite] of [
    ["6.1.0-9-cloud-amd64", "bookworm"],
    ["6.1.0-10-cloud-amd64", "bookworm"],
    ["6.12.1-cloud-amd64", "trixie"],
    ["7.2.1-cloud-amd64", "forky"],
  ] as const) {
    mkdirSync(join(kernelsDir, name));
    writeFileSync(join(kernelsDir, name, "suite"), `${suite}\n`);
    writeFileSync(join(kernelsDir, name, "vmlinuz"), kernelImage());
    writeFileSync(join(kernelsDir, name, "modules.list"), "");
  }
  const sources = (): never => {
    throw new Error("nothing is to be fetched");
  };
  writeFileSync(join(kernelsDir, "7.2.1-cloud-amd64/suite.sid"), "");
  const ask = async (suite: string, wanted?: string) =>
    (await prepareKernel({ kernelsDir, agentPath, suite, version: wanted, sources })).version;
  expect(await ask("bookworm")).toBe("6.1.0-10-cloud-amd64");
  expect(await ask("trixie")).toBe("6.12.1-cloud-amd64");
  expect([await ask("forky"), await ask("sid")]).toEqual(["7.2.1-cloud-amd64", "7.2.1-cloud-amd64"]);
  expect(await ask("trixie", "6.1.0-9-cloud-amd64")).toBe("6.1.0-9-cloud-amd64");
  expect(await ask("bookworm", "6.1.0-8-cloud-amd64")).toBe("6.1.0-10-cloud-amd64");
});

test("one kept with fewer modules is fetched again, and used as it is where that fails", async () => {
  const kernelsDir = folder();
  const agentPath = join(kernelsDir, "agent");
  writeFileSync(agentPath, "agent");
  const parts = join(kernelsDir, version);
  mkdirSync(parts);
  writeFileSync(join(parts, "suite"), "trixie\n");
  writeFileSync(join(parts, "vmlinuz"), kernelImage());
  writeFileSync(join(parts, "modules.list"), "");
  let asked = 0;
  const prepare = () =>
    prepareKernel({
      ...{ kernelsDir, agentPath, suite: "trixie" },
      sources: () => {
        asked += 1;
        throw new Error("no mirror answers");
      },
    });
  expect((await prepare()).version).toBe(version);
  expect(asked).toBe(1);
  rmSync(join(parts, "files.json"));
  writeFileSync(join(parts, "modules.choice"), CHOICE);
  expect((await prepare()).version).toBe(version);
  expect(asked).toBe(1);
});

describe("a kernel that is not whole is not booted", () => {
  const sources = (): never => {
    throw new Error("it is fetched again");
  };
  function kernels(): { kernelsDir: string; parts: string; prepare: () => ReturnType<typeof prepareKernel> } {
    const kernelsDir = folder();
    const agentPath = join(kernelsDir, "agent");
    writeFileSync(agentPath, "agent");
    const parts = join(kernelsDir, version);
    mkdirSync(parts);
    writeFileSync(join(parts, "suite"), "trixie\n");
    writeFileSync(join(parts, "vmlinuz"), kernelImage());
    writeFileSync(join(parts, "virtio.ko"), kernelModule());
    writeFileSync(join(parts, "modules.list"), "virtio.ko\n");
    return {
      kernelsDir,
      parts,
      prepare: () => prepareKernel({ kernelsDir, agentPath, suite: "trixie", sources }),
    };
  }

  test.each(["vmlinuz", "virtio.ko", "modules.list"])(
    "%s is cut off, in a folder of an older version",
    async (name) => {
      const { parts, prepare } = kernels();
      truncateSync(join(parts, name), name === "modules.list" ? 3 : 100);
      await expect(prepare()).rejects.toThrow("it is fetched again");
    },
  );

  test("one of an older version that is whole gets a list of its files; altered later, it is fetched again", async () => {
    const { parts, prepare } = kernels();
    expect((await prepare()).version).toBe(version);
    expect(existsSync(join(parts, "files.json"))).toBe(true);
    const module = kernelModule();
    module[127] = 1;
    writeFileSync(join(parts, "virtio.ko"), module);
    await expect(prepare()).rejects.toThrow("it is fetched again");
  });

  test("what machines boot from is made again when it is not whole, or has no list of its files", async () => {
    const { prepare } = kernels();
    const first = await prepare();
    expect((await prepare()).cached).toBe(true);
    const initrd = readFileSync(join(first.dir, "initrd"));
    truncateSync(join(first.dir, "initrd"), 0);
    expect((await prepare()).cached).toBe(false);
    expect(readFileSync(join(first.dir, "initrd"))).toEqual(initrd);
    rmSync(join(first.dir, "files.json"));
    expect((await prepare()).cached).toBe(false);
    expect((await prepare()).cached).toBe(true);
  });
});
