import { expect, test } from "vitest";
import { jailArgv } from "../../runners/host/jail.ts";
import { machineLimits } from "../../runners/qemu/limits.ts";

const options = {
  id: "box-1",
  dir: "/run/thaw/box-1",
  cgroup: "thaw-0",
  jailed: true,
  kvm: false,
  bindings: [
    { source: "/run/thaw/box-1/work", target: "/run/thaw", writable: true },
    { source: "/state/snapshots/s/disk.qcow2", target: "/machine/base.qcow2", writable: false },
  ],
  own: ["/state/sandboxes/box-1/disk"],
  limits: machineLimits({ cpus: 2, memoryMib: 256, diskMib: 4096 }, "tcg"),
  command: ["/usr/bin/qemu-system-x86_64", "-name", "x"] as [string, ...string[]],
};

test("the keeper is told what the machine may see, own and use", () => {
  expect(jailArgv(options).join(" ")).toBe(
    "--id box-1 --dir /run/thaw/box-1 --cgroup thaw-0 --memory 738197504 --pids 130 --cpus 2 --file 12952010752 --jail " +
      "--rw /run/thaw/box-1/work /run/thaw --ro /state/snapshots/s/disk.qcow2 /machine/base.qcow2 " +
      "--own /state/sandboxes/box-1/disk -- /usr/bin/qemu-system-x86_64 -name x",
  );
});

test("/dev/kvm is there only when it is used, and a jail only where there is one", () => {
  expect(jailArgv(options)).not.toContain("--kvm");
  expect(jailArgv({ ...options, kvm: true })).toContain("--kvm");
  expect(jailArgv({ ...options, jailed: false })).not.toContain("--jail");
});

test("runsc is told how much memory there is, and where its pipes are", () => {
  const gvisor = { memoryBytes: 1024, input: "/to", output: "/from" };
  expect(jailArgv({ ...options, gvisor }).join(" ")).toContain(" --gvisor 1024 /to /from ");
});

test("translated code counts for an emulated machine only", () => {
  const resources = { cpus: 1, memoryMib: 256, diskMib: 1 };
  const mib = 1024 * 1024;
  expect(machineLimits(resources, "tcg").memoryBytes).toBe((256 + 192 + 256) * mib);
  expect(machineLimits(resources, "kvm").memoryBytes).toBe((256 + 192) * mib);
});
