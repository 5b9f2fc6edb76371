/** What the keeper of a machine holds: its end, its limits, its folder. On real machines. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Machine, MachineEnd, MachineRecord, SnapshotFiles } from "../../runners/runner.ts";
import { askKeeper, pidOf } from "../helpers/keeper.ts";
import { testHome } from "../helpers/test-home.ts";
import { isAlive, until } from "../helpers/thaw.ts";
import { greet, sh } from "./guest.ts";
import { placesIn } from "./places.ts";
import { templateFiles } from "./template.ts";
import { cgroupOf, createRunner, guestProcess, whyMissing } from "./under-test.ts";

const dir = mkdtempSync("/tmp/tk-");
const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const another = () => createRunner(options);
const runner = another();
const { ownUser, travel } = runner.capabilities;
const why = await whyMissing(runner);
const isRoot = process.getuid?.() === 0;
const MEMORY_LIMITS = [
  "/sys/fs/cgroup/memory/GROUP/memory.limit_in_bytes",
  "/sys/fs/cgroup/GROUP/memory.max",
];
const FREEZER = "/sys/fs/cgroup/freezer";

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "keep");

function endOf(machine: Machine): Promise<MachineEnd> {
  return new Promise((done) => machine.onEnd(done));
}

function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

describe.skipIf(why !== "")(`the keeper of a machine of ${runner.name}${why && ` (${why})`}`, () => {
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
    await Promise.all(machines.splice(0).map((machine) => machine.stop()));
  });

  test("a killed keeper takes its machine along, and that is told", async () => {
    const machine = await thawOne();
    const pid = await pidOf(machine.record);
    const end = endOf(machine);
    process.kill(parentOf(pid), "SIGKILL");
    expect(await end).toMatchObject({ kind: "exited", detail: expect.stringContaining("keeper") });
    await until(() => !isAlive(pid), "the machine to end");
    expect(await machine.state()).toBe("ended");
    await expect(another().adopt(machine.record)).rejects.toMatchObject({ code: "machine-gone" });
    await machine.stop();
    expect(existsSync(machine.record.runtimeDir)).toBe(false);
  });

  test("an end while nobody was there is known, with its signal, also when its keeper goes later", async () => {
    const machine = await thawOne();
    const pid = await pidOf(machine.record);
    const keeper = parentOf(pid);
    await machine.detach();
    process.kill(pid, "SIGKILL");
    const { runtimeDir } = machine.record;
    await until(async () => (await askKeeper(runtimeDir, "status")).end !== null, "the machine to end");
    const gone = { code: "machine-gone", end: { kind: "exited", cause: "signal" } };
    await expect(another().adopt(machine.record)).rejects.toMatchObject(gone);
    process.kill(keeper, "SIGKILL");
    await until(() => !isAlive(keeper), "the keeper to end");
    await expect(another().adopt(machine.record)).rejects.toMatchObject(gone);
    await another().clear(machine.record);
    expect(existsSync(machine.record.runtimeDir)).toBe(false);
  });

  test("a machine that is asked to stop goes with its keeper, its folder and its cgroup", async () => {
    const machine = await thawOne();
    const pid = await pidOf(machine.record);
    const keeper = parentOf(pid);
    const group = cgroupOf(pid);
    await Promise.all([machine.stop(), machine.stop()]);
    expect(isAlive(pid)).toBe(false);
    await until(() => !isAlive(keeper), "the keeper to end");
    expect(existsSync(machine.record.runtimeDir)).toBe(false);
    for (const root of ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu"])
      expect(group === "" || !existsSync(join(root, group)), root).toBe(true);
    await machine.stop();
  });

  test("one that does not answer is unresponsive, not gone; it is adopted once it does", async () => {
    const machine = await thawOne();
    const keeper = parentOf(await pidOf(machine.record));
    await machine.detach();
    for (const stopped of [await guestProcess(machine.record), keeper]) {
      process.kill(stopped, "SIGSTOP");
      await expect(another().adopt(machine.record)).rejects.toMatchObject({ code: "unresponsive" });
      process.kill(stopped, "SIGCONT");
    }
    const adopted = await another().adopt(machine.record);
    machines.push(adopted);
    expect(await adopted.state()).toBe("running");
  });

  test("one that does not die: stop says so, and works when it is asked again", async ({ skip }) => {
    // What a frozen process is sent waits, as with one that waits for a disk.
    if (!isRoot || !existsSync(join(FREEZER, "tasks")))
      return skip("there is no cgroup v1 freezer to hold a process with");
    const machine = await thawOne();
    const pid = await pidOf(machine.record);
    const frozen = join(FREEZER, `thaw-test-${process.pid}`);
    mkdirSync(frozen);
    try {
      writeFileSync(join(frozen, "cgroup.procs"), String(pid));
      writeFileSync(join(frozen, "freezer.state"), "FROZEN");
      await expect(machine.stop()).rejects.toMatchObject({ code: "timeout" });
      expect(existsSync(machine.record.runtimeDir)).toBe(true);
      await expect(another().adopt(machine.record)).rejects.toMatchObject({ code: "unresponsive" });
      writeFileSync(join(frozen, "freezer.state"), "THAWED");
      await machine.stop();
      expect(isAlive(pid)).toBe(false);
    } finally {
      writeFileSync(join(frozen, "freezer.state"), "THAWED");
      await until(() => readFileSync(join(frozen, "cgroup.procs"), "utf8") === "", "the process to end");
      rmdirSync(frozen);
    }
  });

  test("a process that takes too much memory is ended alone, and that is told", async ({ skip }) => {
    const [machine, neighbour] = [await thawOne(), await thawOne()];
    const group = cgroupOf(await pidOf(machine.record));
    const limit = MEMORY_LIMITS.map((path) => path.replace("GROUP", group)).find((path) => existsSync(path));
    if (limit === undefined) return skip("machines are in no cgroup here");
    const allowed = Number(readFileSync(limit, "utf8"));
    const { memoryMib } = snapshot.resources;
    expect(allowed).toBeGreaterThan(memoryMib << 20);
    expect(allowed).toBeLessThanOrEqual((memoryMib + runner.memory.overheadMib) << 20);
    const end = endOf(machine);
    const agent = await greet(machine, "one");
    const { rssBytes } = await machine.stats();
    // Room for little more than it has now: what the guest writes next is too much.
    writeFileSync(limit, String(rssBytes + (16 << 20)));
    sh(agent, "head -c 150M /dev/zero > /dev/shm/much").catch(() => {});
    expect(await end).toMatchObject({ kind: "exited", cause: "out-of-memory" });
    expect((await sh(await greet(neighbour, "two"), "echo here")).text).toBe("here\n");
  });

  test.skipIf(!travel)(
    "what is frozen of an imported machine is still imported, at whatever remove",
    async () => {
      // The proof that differences work here.
      await another().difference({ snapshot, place: place() });
      const first = await another().thaw({ ...place(), snapshot: { ...snapshot, imported: true } });
      machines.push(first);
      const taken = mkdtempSync(join(tmpdir(), "thaw-taken-"));
      const difference = await first.takeDifference(taken);
      expect(difference.imported).toBe(true);
      const second = await another().thaw({ ...place(), snapshot, difference });
      machines.push(second);
      expect(second.record.imported).toBe(true);
      const live = join(second.record.stateDir, "live");
      mkdirSync(live);
      expect(await second.freezeLive({ ...place(), dir: live })).toMatchObject({ imported: true });
      rmSync(taken, { recursive: true });
    },
  );

  test("a record that names another's process harms nobody", async () => {
    const bystander = spawn("sleep", ["60"]);
    try {
      const { id, stateDir } = place();
      const runtimeDir = join(options.runtimeRoot, id);
      mkdirSync(runtimeDir, { recursive: true });
      const end = { pid: bystander.pid, uid: 0, limits: "rlimits", end: null, stderr: "" };
      writeFileSync(join(runtimeDir, "end.json"), JSON.stringify(end));
      const record = {
        runner: runner.name,
        id,
        runtimeDir,
        stateDir,
        isolation: "emulated (jailed)",
        uid: 0,
        imported: false,
      };
      const stale = { ...record, pid: bystander.pid, startTicks: "1" };
      const { resources, needs } = snapshot;
      await expect(another().adopt({ ...stale, resources, needs } as MachineRecord)).rejects.toMatchObject({
        code: "machine-gone",
      });
      await another().clear({ id, stateDir });
      expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
      expect(isAlive(bystander.pid ?? 0)).toBe(true);
    } finally {
      bystander.kill("SIGKILL");
    }
  });

  test("it takes at most 2 MB, no processor time, and its machine a user of its own", async () => {
    const [one, two] = [await thawOne(), await thawOne()];
    if (ownUser && isRoot) expect(one.record.uid).not.toBe(two.record.uid);
    const keeper = parentOf(await pidOf(one.record));
    const rollup = readFileSync(`/proc/${keeper}/smaps_rollup`, "utf8");
    const pssKib = Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]);
    process.stdout.write(`keeper: ${pssKib} KiB\n`);
    expect(pssKib).toBeGreaterThan(0);
    expect(pssKib).toBeLessThanOrEqual(2048);
    const ticks = () => readFileSync(`/proc/${keeper}/stat`, "utf8").split(" ").slice(13, 15).join(" ");
    const before = ticks();
    await (await greet(one, "one")).ping();
    expect(ticks()).toBe(before);
  });
});
