import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { afterEach, describe, expect, test } from "vitest";
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
    "pvpanic_pci.ko",
    "virtio_blk.ko",
    "virtio_ring.ko",
    "vmlinuz",
  ]);
});

test("a kernel without a driver is refused with the names of all that it lacks", async () => {
  const tree = kernelTree({ "virtio_blk.ko": "" }, ["virtio_pci"]);
  await expect(keepParts(tree, { version, target: folder() })).rejects.toMatchObject({
    code: "unsupported",
    message: `kernel ${version} has no virtio_console, no pvpanic_pci: neither as a module nor built in`,
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
  ] as const) {
    mkdirSync(join(kernelsDir, name));
    writeFileSync(join(kernelsDir, name, "suite"), `${suite}\n`);
    writeFileSync(join(kernelsDir, name, "vmlinuz"), kernelImage());
    writeFileSync(join(kernelsDir, name, "modules.list"), "");
  }
  const sources = (): never => {
    throw new Error("nothing is to be fetched");
  };
  const ask = async (suite: string, wanted?: string) =>
    (await prepareKernel({ kernelsDir, agentPath, suite, version: wanted, sources })).version;
  expect(await ask("bookworm")).toBe("6.1.0-10-cloud-amd64");
  expect(await ask("trixie")).toBe("6.12.1-cloud-amd64");
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
