import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { afterEach, expect, test } from "vitest";
import { keepParts } from "../../runners/qemu/kernel/parts.ts";
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
    writeFileSync(join(kernelsDir, name, "vmlinuz"), name);
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
