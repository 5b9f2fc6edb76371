/** The gVisor runner's pure parts, its files, and runners side by side. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { needCapabilities } from "../../engine/capabilities.ts";
import { defaultRunner, refuseEmulation } from "../../engine/default-runner.ts";
import { bundleDigest, ociConfig, runscOptions } from "../../runners/gvisor/bundle.ts";
import { packCheckpoint, unpackCheckpoint } from "../../runners/gvisor/checkpoint.ts";
import { endOf } from "../../runners/gvisor/ends.ts";
import { cpuFeatures, parseRelease } from "../../runners/gvisor/facts.ts";
import { imageFault, rootDisk } from "../../runners/gvisor/image.ts";
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import type { SnapshotFiles } from "../../runners/runner.ts";
import { Runners } from "../../runners/runners.ts";

const dir = mkdtempSync("/tmp/thaw-gvisor-");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a release of runsc is read as Debian and Google print it; an old one and another program are refused", () => {
  expect(parseRelease("/r", "runsc version 0.0~20240729.0\nspec: 1.0.2-dev\n")).toBe("runsc 20240729.0");
  expect(parseRelease("/r", "runsc version release-20250106.1\nspec: 1.1.0\n")).toBe("runsc 20250106.1");
  expect(() => parseRelease("/r", "runsc version 0.0~20221219.0\n")).toThrow(/20221219.0, which is too old/);
  expect(() => parseRelease("/r", "runc version 1.1.5\n")).toThrow(/not gVisor's runsc/);
});

test("no tree is made for a host whose runsc can't be used", async () => {
  writeFileSync(join(dir, "runsc"), "#!/bin/sh\necho runsc version 0.0~20221219.0\n", { mode: 0o755 });
  const at = { home: dir, agentPath: "/agent", keeperPath: "/keeper", runtimeRoot: dir };
  const { PATH } = process.env;
  process.env.PATH = dir;
  try {
    await expect(createGvisorRunner(at).rootDisk?.key()).rejects.toThrow(/20221219.0, which is too old/);
  } finally {
    process.env.PATH = PATH;
  }
});

test("a machine is shown nothing of its host, and is told how many CPUs it has", () => {
  const root = { image: "/i", mountPoint: "/m" };
  const config = JSON.parse(JSON.stringify(ociConfig({ root, cpus: 2 })));
  expect(config.mounts.map(({ type }: { type: string }) => type)).not.toContain("bind");
  expect(config.process.args).toEqual(["/.thaw-agent", "--stdio", "2"]);
  expect(config.annotations["dev.gvisor.spec.rootfs.source"]).toBe("/i");
  const options = runscOptions("/s").join(" ");
  expect(options).toMatch(/--platform systrap --network sandbox .*--host-uds none --host-fifo none/);
  expect(bundleDigest()).toMatch(/^[0-9a-f]{64}$/);
});

test("the agent goes into an image in place of whatever its tree has there", () => {
  const argv = rootDisk("/agent $(x)").argv({ tree: "/t", image: "/i" });
  expect(argv[2]).toMatch(/^rm -rf -- "\$2" && cp -- "\$1" "\$2"/);
  expect(argv.slice(4)).toEqual([
    "/agent $(x)",
    "/t/.thaw-agent",
    "mkfs.erofs",
    "-d0",
    "--quiet",
    "-E",
    "noinline_data",
    "/i",
    "/t",
  ]);
});

test("an image is known by its superblock", () => {
  const image = Buffer.alloc(4096);
  image.writeUInt32LE(0xe0f5e1e2, 1024);
  expect(imageFault(image)).toBeNull();
  expect(imageFault(Buffer.alloc(4096))).toMatch(/not an EROFS image/);
  expect(imageFault(image.subarray(0, 1027))).toMatch(/not an EROFS image/);
});

let serial = 0;
/** A folder as `runsc checkpoint` leaves it. */
function checkpoint(
  files = { "checkpoint.img": "the state", "pages_meta.img": "meta\n", "pages.img": "pages" },
) {
  const image = join(dir, `image-${++serial}`);
  mkdirSync(image);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(image, name), text);
  return { image, memory: join(dir, `memory-${serial}`), state: join(dir, `state-${serial}`) };
}

test("a checkpoint becomes two read-only parts, and these a checkpoint again", async () => {
  const { image, ...parts } = checkpoint();
  expect(await packCheckpoint(image, parts)).toBe(5);
  expect(() => statSync(image)).toThrow(/ENOENT/);
  for (const path of Object.values(parts)) expect(statSync(path).mode & 0o777).toBe(0o444);
  const again = join(dir, "again");
  await unpackCheckpoint(parts, again);
  const text = (name: string) => readFileSync(join(again, name), "utf8");
  expect(readdirSync(again).map((name) => [name, text(name)])).toEqual([
    ["checkpoint.img", "the state"],
    ["pages.img", "pages"],
    ["pages_meta.img", "meta\n"],
  ]);
});

test.each([
  ["", "empty"],
  ["{}\n", "without lengths"],
  ['{"checkpoint":1,"pages":1}\nabc', "too long"],
  ['{"checkpoint":3,"pages":1}\nabc', "too short"],
  ['{"checkpoint":-1,"pages":4}\nabc', "a negative length"],
  ['{"checkpoint":1,"pages":2,"more":1}\nabc', "another form"],
  [`{"checkpoint":1,"pages":2${" ".repeat(200)}}\nabc`, "a long header"],
  ["abc", "no line"],
])("a state that is not a checkpoint's is refused, and nothing is made of it: %j", async (text) => {
  const parts = { memory: join(dir, "m"), state: join(dir, `bad-${++serial}`) };
  writeFileSync(parts.state, text);
  const image = join(dir, `from-bad-${serial}`);
  await expect(unpackCheckpoint(parts, image)).rejects.toMatchObject({ code: "corrupt-snapshot" });
  expect(() => statSync(image)).toThrow(/ENOENT/);
});

test("how a sandbox ended is told", () => {
  const record = { id: "m", resources: { cpus: 1, memoryMib: 256, diskMib: 100 } };
  const status = (end: object, stderr = "") =>
    ({ pid: 1, uid: 0, limits: "cgroup v2", end, stderr }) as Parameters<typeof endOf>[0];
  expect(endOf(status({ kind: "exit", code: 0 }), record)).toEqual({ kind: "powered-off" });
  expect(endOf(status({ kind: "exit", code: 2 }, "a\nlast line\n"), record)).toMatchObject({
    kind: "exited",
    detail: expect.stringContaining("exit code 2: last line"),
  });
  expect(endOf(status({ kind: "signal", signal: 9 }), record)).toMatchObject({ cause: "signal" });
  const killed = endOf(status({ kind: "out-of-memory" }), record);
  expect(killed).toMatchObject({ cause: "out-of-memory", detail: expect.stringContaining("256 MiB") });
  expect(endOf(undefined, record)).toMatchObject({
    kind: "exited",
    detail: expect.stringContaining("keeper"),
  });
});

const common = { home: dir, agentPath: "/none", runtimeRoot: join(dir, "run") };
const runners = new Runners([
  createQemuRunner({ ...common, sealPath: "/none/thaw-seal" }),
  createGvisorRunner({ ...common, keeperPath: "/none/thaw-keeper" }),
]);

test("what is asked goes to the runner that it concerns", async () => {
  expect(runners.names).toEqual(["qemu", "gvisor"]);
  expect(runners.name).toBe("qemu");
  expect(runners.choose("gvisor").name).toBe("gvisor");
  expect(runners.choose("gvisor").capabilities.caches).toBe(false);
  expect(() => runners.of("podman")).toThrow(/there is no runner podman here/);
  const needs = {
    ...{ runner: "podman", build: "", accelerator: "tcg" as const, machine: "", kernel: "", devices: "" },
    cpu: await cpuFeatures(),
  };
  const resources = { cpus: 1, memoryMib: 64, diskMib: 64 };
  const snapshot: SnapshotFiles = { dir, id: "s", resources, needs };
  expect(await runners.incompatibilities(snapshot)).toEqual([
    "it was made by the podman runner, which is not here",
  ]);
  const imported = { ...snapshot, imported: true, needs: { ...needs, runner: "gvisor" } };
  await expect(runners.thaw({ id: "x", stateDir: dir, snapshot: imported })).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("another host has frozen"),
  });
});

test("what a runner can't do is refused, and the runner that can is named", () => {
  const refuse = (needed: Parameters<typeof needCapabilities>[2]) => () =>
    needCapabilities(runners.of("gvisor"), "create a sandbox", needed, runners);
  expect(refuse({ pause: true, pty: true, egress: true })).not.toThrow();
  expect(refuse({ ownDisk: true, caches: true })).toThrow(
    expect.objectContaining({
      code: "unsupported",
      message:
        "can't create a sandbox: runner gvisor does not support disks that are used without their memory, cached folders",
      hint: "--runner qemu",
    }),
  );
});

test("the configuration chooses the runner where nobody asked for one", async () => {
  const on = (why: string | null) => ({ name: "qemu", emulation: async () => why });
  const [kvm, none] = [on(null), on("no /dev/kvm")];
  expect(await defaultRunner({}, none)).toBe("qemu");
  expect(await defaultRunner({ withoutKvm: "emulated" }, none)).toBe("qemu");
  expect(await defaultRunner({ default: "gvisor" }, kvm)).toBe("gvisor");
  expect(await defaultRunner({ withoutKvm: "gvisor" }, kvm)).toBe("qemu");
  expect(await defaultRunner({ withoutKvm: "gvisor" }, none)).toBe("gvisor");
  expect(await defaultRunner({ default: "qemu", withoutKvm: "gvisor" }, none)).toBe("gvisor");
  await refuseEmulation({ withoutKvm: "refuse" }, kvm);
  await refuseEmulation({}, none);
  await expect(refuseEmulation({ withoutKvm: "refuse" }, none)).rejects.toMatchObject({
    code: "host-not-ready",
    message: expect.stringContaining("no /dev/kvm"),
  });
});
