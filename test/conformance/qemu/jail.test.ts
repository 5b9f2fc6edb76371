/** The jail of a QEMU process, and what it can't do to its host. On real machines. */
import {
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createQemuRunner } from "../../../runners/qemu/runner.ts";
import type { Machine, SnapshotFiles } from "../../../runners/runner.ts";
import { pidOf } from "../../helpers/keeper.ts";
import { testHome } from "../../helpers/test-home.ts";
import { greet } from "../guest.ts";
import { placesIn } from "../places.ts";
import { templateFiles } from "../template.ts";
import { createRunner, whyMissing } from "../under-test.ts";

const dir = mkdtempSync("/tmp/tj-");
const options = {
  home: testHome(),
  runtimeRoot: join(dir, "run"),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
};
const runner = createRunner(options);
const probes = await runner.probe();
const why = await whyMissing(runner);
const isRoot = process.getuid?.() === 0;

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "jail");

const statusOf = (pid: number) =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/status`, "utf8")
      .split("\n")
      .map((line) => line.split(":\t")) as [string, string][],
  );

/** Opens for writing and writes. */
function poke(path: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, "x", 0);
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(why !== "")(`the jail${why && ` (${why})`}`, () => {
  let snapshot: SnapshotFiles;
  const machines: Machine[] = [];

  const thawOne = async (): Promise<Machine> => {
    const machine = await runner.thaw({ ...place(), snapshot });
    machines.push(machine);
    return machine;
  };

  beforeAll(async () => {
    snapshot = await templateFiles();
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.stop();
  });

  test("as the host sees it: a uid of its own, no privileges, filtered calls, no network, its own files only", async ({
    skip,
  }) => {
    const machine = await thawOne();
    const { isolation, uid } = machine.record;
    const pid = await pidOf(machine.record);
    const jail = (await runner.probe()).find(({ name }) => name === "jail");
    // Root can always make it.
    const required = process.getuid?.() === 0 || process.env.REQUIRE_JAIL === "1";
    if (jail?.state !== "ok" && !required) return skip(jail?.detail);
    expect(jail).toMatchObject({ state: "ok" });
    expect(isolation).not.toBe("emulated (not jailed)");
    const status = statusOf(pid);
    const uids = new Set(status.Uid?.split("\t"));
    expect([...uids]).toEqual([String(uid)]);
    if (process.getuid?.() === 0) {
      expect(uid).toBeGreaterThan(60_000);
      expect(new Set(status.Gid?.split("\t"))).toEqual(new Set([String(uid)]));
      expect(status.Groups?.trim()).toBe("");
    }
    expect(status.Seccomp).toBe("2");
    expect(status.NoNewPrivs).toBe("1");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(BigInt(`0x${status[set]}`)).toBe(0n);
    for (const space of ["net", "pid", "mnt", "ipc", "uts"]) {
      expect(readlinkSync(`/proc/${pid}/ns/${space}`)).not.toBe(readlinkSync(`/proc/self/ns/${space}`));
    }
    expect(
      readFileSync(`/proc/${pid}/net/dev`, "utf8")
        .split("\n")
        .slice(2)
        .map((line) => line.split(":")[0]?.trim())
        .filter(Boolean),
    ).toEqual(["lo"]);
    const root = `/proc/${pid}/root`;
    expect(readdirSync(root).sort()).toEqual([
      "bin",
      "dev",
      "etc",
      "lib",
      "lib64",
      "machine",
      "proc",
      "run",
      "usr",
    ]);
    expect(readdirSync(`${root}/etc`).filter((name) => name !== "ld.so.cache")).toEqual([]);
    expect(readdirSync(`${root}/run`).sort()).toEqual(["host", "thaw"]);
    for (const name of readdirSync(`${root}/machine`))
      expect(["memory", "base.qcow2", "disk"]).toContain(name);
    expect(
      readFileSync(`/proc/${pid}/environ`, "latin1")
        .split("\0")
        .filter(Boolean)
        .map((pair) => pair.split("=")[0])
        .sort(),
    ).toEqual(
      ["LC_ALL", "PATH"].filter((name) =>
        readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${name}=`),
      ),
    );
  });

  test("the snapshot can't be written through anything the process holds", async () => {
    const machine = await thawOne();
    const pid = await pidOf(machine.record);
    (await greet(machine, "jail")).close();
    const own = machine.record.stateDir;
    const seen: string[] = [];
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      const flags = Number.parseInt(
        /flags:\t(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "0",
        8,
      );
      if (/base\.qcow2|disk\.qcow2|devices|\/memory$/.test(target)) {
        seen.push(target);
        expect(flags & 3, target).toBe(constants.O_RDONLY);
      }
      if (/memfd|\/memory$/.test(target)) {
        seen.push(target);
        // Root itself, which no mode stops, is stopped by the seals.
        if (target.includes("memfd"))
          expect(() => poke(`/proc/${pid}/fd/${fd}`)).toThrow(/EPERM|EACCES|EROFS|ETXTBSY/);
      }
    }
    expect(seen.length, own).toBeGreaterThan(0);
    const maps = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
    for (const line of maps.filter((one) => /memfd|\/memory/.test(one)))
      expect(line.split(" ")[1]).toMatch(/p$/);
    if (existsSync(`/proc/${pid}/root/machine/base.qcow2`))
      expect(() => poke(`/proc/${pid}/root/machine/base.qcow2`)).toThrow(/EROFS|EPERM|EACCES/);
  });

  test.runIf(isRoot)("links that the machine's user plants are not followed", async () => {
    const machine = await thawOne();
    const { runtimeDir, uid } = machine.record;
    const { mode, uid: owner } = statSync(runtimeDir);
    expect([mode & 0o777, owner]).toEqual([0o700, 0]);
    const victim = join(dir, "victim");
    writeFileSync(victim, "untouched", { mode: 0o600 });
    const work = join(runtimeDir, "work");
    expect(statSync(work).uid).toBe(uid);
    for (const name of ["devices.state", "migrate.sock", "state.sock", "kvm", "qmp.sock", "agent.sock"])
      symlinkSync(victim, join(work, name));
    const [taken, live] = ["taken", "live"].map((name) => join(machine.record.stateDir, name)) as [
      string,
      string,
    ];
    mkdirSync(taken);
    mkdirSync(live);
    await machine.takeDifference(taken);
    await machine.freezeLive({ ...place(), dir: live });
    expect(readdirSync(live)).toEqual(expect.arrayContaining(["devices", "memory"]));
    const now = statSync(victim);
    expect([readFileSync(victim, "utf8"), now.uid, now.mode & 0o777]).toEqual(["untouched", 0, 0o600]);
  });

  test("what was imported is jailed although machines are not; unless that is allowed", async ({ skip }) => {
    const jailed = (probes.find(({ name }) => name === "jail")?.state ?? "") === "ok";
    if (!jailed) return skip(probes.find(({ name }) => name === "jail")?.detail);
    const isolationOf = async (settings: object, imported: boolean): Promise<string> => {
      const free = createQemuRunner({ ...options, jail: "off", ...settings });
      const machine = await free.thaw({ ...place(), snapshot: { ...snapshot, imported } });
      machines.push(machine);
      const status = readFileSync(`/proc/${await pidOf(machine.record)}/status`, "utf8");
      return /NSpid:\t\d+\t1\n/.test(status) ? "jailed" : "free";
    };
    expect(await isolationOf({}, false)).toBe("free");
    expect(await isolationOf({}, true)).toBe("jailed");
    expect(await isolationOf({ unjailedImports: true }, true)).toBe("free");
  });

  // A backing file, an external data file, encryption, a size of its own.
  test.each([
    [8, [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 11]],
    [79, [4]],
    [35, [1]],
    [28, [0, 0, 16, 0]],
  ])("a disk whose header was changed at %i is refused, by name", async (at, bytes) => {
    const { id, stateDir } = place();
    const copy = { ...snapshot, dir: join(stateDir, "copy"), id };
    mkdirSync(copy.dir);
    for (const name of ["memory", "devices", "disk.qcow2"])
      cpSync(join(snapshot.dir, name), join(copy.dir, name));
    const file = openSync(join(copy.dir, "disk.qcow2"), "r+");
    writeSync(file, Buffer.from(bytes), 0, bytes.length, at);
    closeSync(file);
    const where = place();
    const thawing = runner.thaw({ ...where, snapshot: copy }).then((machine) => machines.push(machine));
    await expect(thawing).rejects.toMatchObject({
      code: "corrupt-snapshot",
      message: expect.stringContaining("disk.qcow2"),
    });
    expect(readdirSync(where.stateDir)).toEqual([]);
    rmSync(copy.dir, { recursive: true });
  });
});
