import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { adopt } from "../../runners/qemu/adopt.ts";
import type { Context } from "../../runners/qemu/context.ts";
import { pickKvmCpu } from "../../runners/qemu/cpu-models.ts";
import { endOfEvent, endOfProcess, endOfStatus } from "../../runners/qemu/ends.ts";
import { mapsReadOnly, parseQemu } from "../../runners/qemu/host-facts.ts";
import { incompatible } from "../../runners/qemu/incompatible.ts";
import { checkOffer, lackingParts, NEEDED } from "../../runners/qemu/offer.ts";

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

describe("what a QEMU offers, as it answers on QMP", () => {
  const list = (key: string, names: readonly string[]) => ({
    return: names.map((name) => ({ [key]: name })),
  });
  const answers = (without: readonly string[] = []) => {
    const offered = (names: readonly string[]) => names.filter((name) => !without.includes(name));
    return [
      { QMP: { version: {} } },
      { return: {} },
      list("capability", offered(NEEDED["migration capability"])),
      list("name", offered(NEEDED.device)),
      { timestamp: {}, event: "SHUTDOWN" },
      list("name", offered(NEEDED.command)),
      list("name", offered(NEEDED["CPU model"])),
      { return: {} },
    ]
      .map((line) => JSON.stringify(line))
      .join("\r\n");
  };

  test("whole, nothing is lacking; else all that is, by kind and name", () => {
    expect(lackingParts(answers())).toEqual([]);
    expect(
      lackingParts(answers(["x-ignore-shared", "virtio-blk-pci", "blockdev-snapshot", "Nehalem-v1"])),
    ).toEqual([
      "migration capability x-ignore-shared",
      "device virtio-blk-pci",
      "command blockdev-snapshot",
      "CPU model Nehalem-v1",
    ]);
  });

  test("every device of the command lines is asked for", () => {
    expect(NEEDED.device).toEqual([
      ...["isa-serial", "pvpanic-pci", "virtio-serial-pci", "virtserialport", "virtio-blk-pci"],
    ]);
  });

  const qemu = "/usr/bin/qemu-system-x86_64";
  test.runIf(existsSync(qemu))("a host that reads late gets all of the answers", async () => {
    const folder = mkdtempSync(join(tmpdir(), "thaw-offer-"));
    const late = join(folder, "qemu");
    writeFileSync(late, `#!/bin/sh\n${qemu} "$@" | { sleep 1; cat; }\n`, { mode: 0o755 });
    await checkOffer(late, "QEMU");
    rmSync(folder, { recursive: true });
  });

  test("what is no answer of QEMU's offers nothing", () => {
    expect(lackingParts("busybox\n{]").length).toBe(Object.values(NEEDED).flat().length);
  });
});

const host = {
  build: "QEMU emulator version 8.2.2 (Debian)",
  machines: ["pc-q35-7.2", "pc-q35-8.2"],
  devices: "aa",
  kvm: { state: "broken", reason: "no /dev/kvm" },
  kvmCpus: ["EPYC-Rome"],
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

test("a CPU model that an operator has chosen is thawed where it was proven, and nowhere else", () => {
  const made = { ...needs, accelerator: "kvm", cpu: "qemu64-v1" } as const;
  const chosen = { state: "works", cpu: "qemu64-v1", at: null } as const;
  expect(incompatible(made, { ...host, kvm: chosen, kvmCpus: ["qemu64-v1"] })).toEqual([]);
  expect(incompatible(made, { ...host, kvm: { ...chosen, cpu: "EPYC-Rome" } })).toEqual([
    "it needs CPU model qemu64-v1, which this runner does not use",
    "it needs CPU model qemu64-v1 under kvm, this host is known to have EPYC-Rome",
  ]);
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
  expect(pickKvmCpu([all("EPYC-Rome"), all("qemu64-v1")], ["Dhyana-v2", "qemu64-v1"])).toBe("qemu64-v1");
  expect(pickKvmCpu([all("max")])).toBeUndefined();
  expect(pickKvmCpu("nonsense")).toBeUndefined();
});

test("a machine of another boot of the host: its end is told as the host's restart", async () => {
  const record = {
    ...{ runner: "qemu", id: "m", runtimeDir: "/nonexistent/m", stateDir: "/nonexistent", uid: 0, needs },
    ...{ isolation: "kvm" as const, imported: false, resources: { cpus: 1, memoryMib: 64, diskMib: 64 } },
  };
  await expect(adopt({ tools: {} } as Context, { ...record, hostBoot: "before" })).rejects.toMatchObject({
    ...{ code: "machine-gone", message: "machine m has ended: the host was restarted" },
  });
  await expect(adopt({ tools: {} } as Context, record)).rejects.toThrow("the keeper of m was killed");
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

test("how a process ended is told with its cause", () => {
  const machine = {
    id: "box",
    resources: { cpus: 1, memoryMib: 256, diskMib: 1 },
    needs: { ...needs, accelerator: "tcg" as const },
  };
  const status = { pid: 2, uid: 1, limits: "cgroup v2", stderr: "" };
  const warned = { ...status, stderr: "qemu: warning: unrelated" };
  expect(endOfProcess({ ...warned, end: { kind: "signal", signal: 9 } }, machine)).toMatchObject({
    cause: "signal",
    detail: "QEMU of box was killed by SIGKILL",
  });
  expect(endOfProcess({ ...status, end: { kind: "out-of-memory" } }, machine)).toMatchObject({
    cause: "out-of-memory",
    detail: expect.stringContaining("704 MiB"),
  });
  const said = { ...status, stderr: "no disk\n", end: { kind: "exit", code: 1 } as const };
  expect(endOfProcess(said, machine)).toMatchObject({ cause: "exit", detail: "no disk" });
  expect(endOfProcess(undefined, machine)).toMatchObject({ detail: expect.stringContaining("keeper") });
});
