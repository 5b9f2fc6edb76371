import { expect, test } from "vitest";
import { pickKvmCpu } from "../../runners/qemu/cpu-models.ts";
import { endOfEvent, endOfStatus } from "../../runners/qemu/ends.ts";
import { mapsReadOnly, parseQemu } from "../../runners/qemu/host-facts.ts";
import { incompatible } from "../../runners/qemu/incompatible.ts";
import { parseStat } from "../../runners/qemu/proc.ts";

const HELP =
  "Supported machines are:\npc-q35-2.4 x\npc-q35-10.0  x\npc-q35-9.2 x\nq35  x (alias of pc-q35-10.0)\npc-i440fx-10.0 x\n";

test("the newest q35 machine is found by number, not by spelling", () => {
  const facts = parseQemu("/usr/bin/qemu", "QEMU emulator version 10.0.2 (Debian)\nCopyright", HELP);
  expect(facts).toMatchObject({
    build: "QEMU emulator version 10.0.2 (Debian)",
    version: [10, 0],
    machine: "pc-q35-10.0",
  });
  expect(mapsReadOnly(facts)).toBe(true);
  expect(mapsReadOnly({ ...facts, version: [8, 1] })).toBe(false);
  expect(mapsReadOnly({ ...facts, version: [8, 2] })).toBe(true);
});

test("another program is no QEMU", () => {
  expect(() => parseQemu("/usr/bin/qemu", "busybox", "")).toThrow("is not a QEMU with q35 machines");
});

const host = {
  build: "QEMU emulator version 8.2.2 (Debian)",
  machines: ["pc-q35-7.2", "pc-q35-8.2"],
  devices: "aa",
  kvm: { state: "broken", reason: "no /dev/kvm" },
} as const;
const needs = {
  runner: "qemu",
  build: "QEMU emulator version 7.2.22 (Debian)",
  accelerator: "tcg",
  machine: "pc-q35-7.2",
  cpu: "Nehalem-v1",
  kernel: "6.1",
  devices: "aa",
} as const;

test("a newer QEMU with the machine type restores an older snapshot", () => {
  expect(incompatible(needs, host)).toEqual([]);
});

test("every difference is named with both values", () => {
  const odd = {
    ...needs,
    build: "QEMU emulator version 9.1.0",
    machine: "pc-q35-9.1",
    devices: "bb",
    cpu: "host,+x",
  } as const;
  const reasons = incompatible({ ...odd, accelerator: "kvm" }, host);
  expect(reasons).toHaveLength(5);
  expect(reasons.join("\n")).toContain("9.1.0, this host has the older QEMU emulator version 8.2.2");
  expect(reasons.join("\n")).toContain("machine type pc-q35-9.1, this host's newest is pc-q35-8.2");
  expect(reasons.join("\n")).toContain("no /dev/kvm");
});

test("another runner's snapshot is not looked at further", () => {
  expect(incompatible({ ...needs, runner: "firecracker" }, host)).toEqual([
    "it was made by the firecracker runner, this is qemu",
  ]);
});

test("under KVM the first model with all features is taken", () => {
  const all = (name: string, lacking: string[] = []) => ({ name, "unavailable-features": lacking });
  expect(pickKvmCpu([all("EPYC-Rome"), all("Nehalem-v1"), all("Skylake-Server-noTSX-IBRS", ["pku"])])).toBe(
    "EPYC-Rome",
  );
  expect(pickKvmCpu([all("max")])).toBeUndefined();
  expect(pickKvmCpu("nonsense")).toBeUndefined();
});

test("ends of a machine, told and found later", () => {
  expect(endOfEvent({ name: "SHUTDOWN", data: { reason: "guest-reset" } })).toEqual({ kind: "rebooted" });
  expect(endOfEvent({ name: "SHUTDOWN", data: { reason: "guest-shutdown" } })).toEqual({
    kind: "powered-off",
  });
  expect(endOfEvent({ name: "STOP", data: {} })).toBeUndefined();
  expect(endOfEvent({ name: "BLOCK_IO_ERROR", data: { action: "report" } })).toBeUndefined();
  expect(endOfEvent({ name: "BLOCK_IO_ERROR", data: { action: "stop", nospace: true } })?.kind).toBe(
    "disk-full",
  );
  expect(endOfStatus("shutdown", "[ 2.1] reboot: Power down\n")).toEqual({ kind: "powered-off" });
  expect(endOfStatus("shutdown", "[ 2.1] reboot: Restarting system\n")).toEqual({ kind: "rebooted" });
  expect(endOfStatus("guest-panicked", "")).toEqual({ kind: "panicked" });
  expect(endOfStatus("paused", "")).toBeUndefined();
});

test("a process's name can hold anything", () => {
  const fields = ["S", ...Array.from({ length: 49 }, (_, index) => String(index))];
  const stat = parseStat(`12 (a) R (b c) ${fields.join(" ")}`);
  expect(stat).toEqual({ state: "S", startTicks: "18", cpuMs: (10 + 11) * 10 });
  expect(parseStat("garbage")).toBeUndefined();
});
