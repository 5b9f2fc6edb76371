import { expect, test } from "vitest";
import { loadOrder, moduleDependencies, moduleName } from "../../runners/qemu/kernel/modules.ts";

test("dependencies come first, once, and what is built in is left out", () => {
  const available = new Map([
    ["virtio_blk", ["virtio", "virtio_ring"]],
    ["virtio_pci", ["virtio_ring", "virtio"]],
    ["virtio", []],
    ["virtio_ring", ["virtio"]],
  ]);
  expect(loadOrder(["virtio_pci", "virtio_blk", "ext4"], available)).toEqual([
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "virtio_blk",
  ]);
});

test("dependencies are read from a module's .modinfo", () => {
  const module = Buffer.from("ELF\0license=GPL\0depends=virtio-ring,virtio\0name=x\0");
  expect(moduleDependencies(module)).toEqual(["virtio_ring", "virtio"]);
  expect(moduleDependencies(Buffer.from("\0depends=\0"))).toEqual([]);
  expect(moduleDependencies(Buffer.from("nothing"))).toEqual([]);
});

test("a module's file name and its name differ in dashes", () => {
  expect(moduleName("pvpanic-pci.ko")).toBe("pvpanic_pci");
});
