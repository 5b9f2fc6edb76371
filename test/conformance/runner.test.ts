/** What every runner owes the engine (runners/runner.ts), on real machines. A runner whose probe says no is skipped with its reason. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openHome } from "../../engine/home.ts";
import { freshIdentity } from "../../engine/sandboxes/identity.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { Machine, MachineEnd, MachineRecord, SnapshotFiles } from "../../runners/runner.ts";
import { pidOf } from "../helpers/keeper.ts";
import { testHome } from "../helpers/test-home.ts";
import { isAlive, until } from "../helpers/thaw.ts";
import { begin, sh } from "./guest.ts";
import { placesIn } from "./places.ts";
import { templateFiles } from "./template.ts";
import { createRunner, diskFormat, idlePercent, patient, whyMissing, writeRootDisk } from "./under-test.ts";

const dir = mkdtempSync("/tmp/tc-");
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const another = () => createRunner(options);
const runner = another();
const isRoot = process.getuid?.() === 0;
const { ownKernel, ownUser } = runner.capabilities;
const why = await whyMissing(runner);

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "conf");

/** The first end a machine tells of. */
function endOf(machine: Machine): Promise<MachineEnd> {
  return new Promise((done) => machine.onEnd(done));
}

describe.skipIf(why !== "")(`${runner.name}${why && ` (${why})`}`, () => {
  let snapshot: SnapshotFiles;
  /** The template's snapshot: the tests boot machines from its disk. */
  let built: SnapshotFiles;
  const machines: Machine[] = [];
  const agents: Agent[] = [];

  const greet = async (machine: Machine, thawed = true): Promise<Agent> => {
    const agent = await machine.agent({
      deadlineMs: patient(60_000),
      ...(thawed ? { identity: freshIdentity("conf"), guestIsBetweenFrames: true } : {}),
    });
    agents.push(agent);
    return agent;
  };
  const thawOne = async (from = snapshot): Promise<Machine> => {
    const machine = await runner.thaw({ ...place(), snapshot: from });
    machines.push(machine);
    return machine;
  };
  /** The snapshot's files again, to be spoiled. Hard links where the file stays as it is. */
  const copyOf = (name: string): SnapshotFiles => {
    const { id, stateDir } = place();
    const copy = { ...snapshot, dir: join(stateDir, "copy"), id };
    mkdirSync(copy.dir);
    for (const file of ["memory", "devices", "disk.qcow2"]) {
      if (file === name) copyFileSync(join(snapshot.dir, file), join(copy.dir, file));
      else cpSync(join(snapshot.dir, file), join(copy.dir, file));
    }
    return copy;
  };

  beforeAll(async () => {
    built = await templateFiles();
  });
  afterEach(async () => {
    for (const agent of agents.splice(0)) agent.close();
    for (const machine of machines.splice(0)) await machine.stop();
  });

  test("boots, answers, is quiesced and frozen; the process is gone and the files are whole", async () => {
    const { kernelDir } = await runner.prepareKernel({ suite: "bookworm", sources: async () => null });
    const where = place();
    const draft = join(where.stateDir, "snapshot");
    mkdirSync(draft);
    const { resources } = built;
    const disk = join(draft, "disk.qcow2");
    writeRootDisk(disk, { path: join(built.dir, "disk.qcow2"), diskMib: resources.diskMib });
    const machine = await runner.boot({
      ...where,
      resources,
      kernelDir,
      disk: { path: disk, format: diskFormat },
      memoryFile: join(draft, "memory"),
    });
    machines.push(machine);
    const agent = await greet(machine);
    expect(
      (await sh(agent, "echo frozen > /root/mark; cat /proc/net/dev | tail -n +3 | cut -d: -f1")).text.trim(),
    ).toBe("lo");
    await agent.quiesce();
    agent.close();
    const { runtimeDir } = machine.record;
    const pid = await pidOf(machine.record);
    await machine.freeze(draft);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(runtimeDir)).toBe(false);
    snapshot = { dir: draft, id: "conformance", resources, needs: await runner.needs(kernelDir) };
    expect(await runner.incompatibilities(snapshot)).toEqual([]);
    expect(statSync(join(draft, "memory")).size).toBeLessThanOrEqual(resources.memoryMib << 20);
    expect(statSync(join(draft, "memory")).blocks * 512).toBeLessThan(150 << 20);
    for (const file of ["memory", "devices", "disk.qcow2"])
      expect(statSync(join(draft, file)).mode & 0o222).toBe(0);
  });

  test("clones are thawed side by side, know nothing of each other, and change nothing of the snapshot", async () => {
    const before = ["memory", "devices", "disk.qcow2"].map((file) => sha256(join(snapshot.dir, file)));
    const clones = await Promise.all([thawOne(), thawOne(), thawOne()]);
    const found = await Promise.all(clones.map((clone) => greet(clone)));
    const ids = await Promise.all(
      found.map(async (agent, index) => {
        const { text } = await sh(
          agent,
          `cat /root/mark; ls /root/other* 2>/dev/null; echo ${index} > /root/other-${index}; sync; head -c 30000000 /dev/urandom > /dev/shm/fill; cat /etc/machine-id /proc/sys/kernel/random/uuid`,
        );
        expect(text).toMatch(/^frozen\n[0-9a-f]{32}\n/);
        return text;
      }),
    );
    expect(new Set(ids).size).toBe(3);
    expect(new Set(clones.map(({ record }) => record.uid)).size).toBe(ownUser && isRoot ? 3 : 1);
    for (const clone of clones) await clone.stop();
    expect(["memory", "devices", "disk.qcow2"].map((file) => sha256(join(snapshot.dir, file)))).toEqual(
      before,
    );
  });

  test("pauses and goes on; state, figures, console", async () => {
    const machine = await thawOne();
    const agent = await greet(machine);
    expect(await machine.state()).toBe("running");
    await machine.pause();
    expect(await machine.state()).toBe("paused");
    const used = async () => (await machine.stats()).cpuMs;
    const before = await used();
    await sleep(500);
    expect((await used()) - before).toBeLessThan(100);
    await machine.resume();
    expect(await machine.state()).toBe("running");
    await agent.ping();
    await sh(agent, "echo said-on-the-console > /dev/console");
    await until(async () => (await machine.console()).includes("said-on-the-console"), "the console");
    const { pssBytes, rssBytes } = await machine.stats();
    expect(pssBytes).toBeGreaterThan(1 << 20);
    expect(rssBytes).toBeGreaterThanOrEqual(pssBytes);
  });

  test("a console that is flooded keeps its last 64 KiB, and costs the host nothing", async () => {
    const machine = await thawOne();
    const agent = await greet(machine);
    await sh(
      agent,
      "yes abcdefghijklmnopqrstuvwxyz | head -c 200000 > /dev/console; echo the-end > /dev/console",
    );
    await until(async () => (await machine.console()).includes("the-end"), "the console's end");
    expect((await machine.console()).length).toBeLessThanOrEqual(65_536);
    const written = readdirSync(machine.record.stateDir).map(
      (name) => statSync(join(machine.record.stateDir, name)).size,
    );
    expect(Math.max(...written)).toBeLessThanOrEqual(65_536);
  });

  test("is adopted by another, with what it was doing; one that is gone is not", async () => {
    const machine = await thawOne();
    const agent = await greet(machine);
    await sh(agent, "echo state > /tmp/state");
    agent.close();
    await machine.detach();
    const record = JSON.parse(JSON.stringify(machine.record)) as MachineRecord;
    const pid = await pidOf(record);
    const adopted = await another().adopt(record);
    machines.push(adopted);
    expect(await adopted.state()).toBe("running");
    expect((await sh(await greet(adopted, false), "cat /tmp/state")).text).toBe("state\n");
    await adopted.stop();
    await adopted.stop();
    expect(isAlive(pid)).toBe(false);
    await expect(another().adopt(record)).rejects.toMatchObject({ code: "machine-gone" });
  });

  test("survives the SIGKILL of the process that thawed it", async () => {
    const spec = { ...place(), snapshot };
    const child = spawn(
      process.execPath,
      ["test/conformance/thaw-and-wait.ts", JSON.stringify({ options, spec })],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const record = JSON.parse(String(line)) as MachineRecord;
    child.kill("SIGKILL");
    await once(child, "exit");
    const adopted = await runner.adopt(record);
    machines.push(adopted);
    expect((await sh(await greet(adopted), "cat /root/mark")).text).toBe("frozen\n");
  });

  test("clear removes a machine nobody has the record of", async () => {
    const machine = await thawOne();
    await machine.detach();
    const { id, stateDir, runtimeDir } = machine.record;
    const pid = await pidOf(machine.record);
    await another().clear({ id, stateDir });
    await until(() => !isAlive(pid), "the process to end");
    expect(existsSync(runtimeDir)).toBe(false);
    await another().clear({ id, stateDir });
  });

  describe("an end is noticed", () => {
    // Without a kernel of its own there is nothing that could be told so.
    const ways: [MachineEnd["kind"], string][] = [
      ["powered-off", "sync; echo o > /proc/sysrq-trigger; sleep 60"],
      ["rebooted", "echo b > /proc/sysrq-trigger; sleep 60"],
      ["panicked", "echo c > /proc/sysrq-trigger; sleep 60"],
    ];
    test.skipIf(!ownKernel).each(ways)("%s, while attached", async (kind, script) => {
      const machine = await thawOne();
      const end = endOf(machine);
      const agent = await greet(machine);
      sh(agent, script).catch(() => {});
      expect((await end).kind).toBe(kind);
      expect(await machine.state()).toBe("ended");
      if (kind === "panicked") expect(await machine.console()).toMatch(/panic/i);
    });

    test.skipIf(!ownKernel).each(ways)("%s, while nobody was there", async (kind, script) => {
      const machine = await thawOne();
      const agent = await greet(machine);
      // It has been started; what it does comes while nobody is there.
      await begin(agent, { script: `sleep 1; ${script}` });
      agent.close();
      await machine.detach();
      await sleep(2500);
      const adopted = await another().adopt(machine.record);
      machines.push(adopted);
      expect((await endOf(adopted)).kind).toBe(kind);
      expect(await adopted.state()).toBe("ended");
    });

    test("powered off at the agent's word", async () => {
      const machine = await thawOne();
      const end = endOf(machine);
      const agent = await greet(machine);
      await agent.powerOff().catch(() => {});
      expect((await end).kind).toBe("powered-off");
    });

    test("a process that is killed from outside", async () => {
      const machine = await thawOne();
      const end = endOf(machine);
      process.kill(await pidOf(machine.record), "SIGKILL");
      expect(await end).toMatchObject({ kind: "exited", cause: "signal" });
      expect(await machine.state()).toBe("ended");
      await machine.stop();
      expect(existsSync(machine.record.runtimeDir)).toBe(false);
    });
  });

  describe("refuses, naming the file", () => {
    const refused = async (from: SnapshotFiles, name: string | RegExp) => {
      const where = place();
      const thawing = runner.thaw({ ...where, snapshot: from }).then((machine) => machines.push(machine));
      await expect(thawing).rejects.toMatchObject({
        code: "corrupt-snapshot",
        message: expect.stringMatching(name),
      });
      expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
      expect(readdirSync(where.stateDir)).toEqual([]);
    };
    test.each([
      ["memory", (path: string) => truncateSync(path, 1000)],
      ["devices", (path: string) => truncateSync(path, 0)],
      ["devices", (path: string) => truncateSync(path, 5000)],
      ["devices", (path: string) => overwrite(path, 100, Buffer.alloc(400, 0xee))],
      ["disk.qcow2", (path: string) => truncateSync(path, 50)],
      ["disk.qcow2", (path: string) => overwrite(path, 0, Buffer.alloc(2048, "not a disk"))],
      ["memory", (path: string) => rmSync(path)],
      ["devices", (path: string) => rmSync(path)],
      ["disk.qcow2", (path: string) => rmSync(path)],
    ])("%s, spoiled (%#)", async (name, spoil) => {
      const copy = copyOf(name);
      try {
        spoil(join(copy.dir, name));
        await refused(copy, name);
      } finally {
        rmSync(copy.dir, { recursive: true, force: true });
      }
    });

    function overwrite(path: string, at: number, bytes: Buffer): void {
      const fd = openSync(path, "r+");
      writeSync(fd, bytes, 0, bytes.length, at);
      closeSync(fd);
    }

    test("another host's snapshot, one reason each", async () => {
      const foreign = {
        ...snapshot,
        needs: { ...snapshot.needs, cpu: "another-cpu", devices: "0".repeat(16) },
      };
      expect((await runner.incompatibilities(foreign)).length).toBeGreaterThanOrEqual(2);
      await expect(runner.thaw({ ...place(), snapshot: foreign })).rejects.toMatchObject({
        code: "incompatible",
      });
    });

    test("what the engine checks before each thaw, and what it reads whole", async () => {
      const home = openHome(join(dir, "engine-home"));
      const store = new SnapshotStore(home);
      const draft = join(home.builds, "d");
      cpSync(snapshot.dir, draft, { recursive: true });
      const { resources, needs } = snapshot;
      const defaults = { env: {}, user: "root", workdir: "/" };
      const stored = await store.publish(draft, {
        createdAt: new Date().toISOString(),
        template: null,
        warm: [],
        variantOf: null,
        bootedFrom: null,
        resources,
        needs,
        defaults,
      });
      await store.checkForThaw(stored);
      const memory = join(stored.dir, "memory");
      overwrite(memory, statSync(memory).size >> 1, Buffer.from("altered"));
      await store.checkForThaw(stored);
      expect((await store.verify(stored)).filter(({ ok }) => !ok).map(({ name }) => name)).toEqual([
        "memory",
      ]);
      overwrite(join(stored.dir, "devices"), 77, Buffer.from("altered"));
      await expect(store.checkForThaw(stored)).rejects.toMatchObject({
        code: "snapshot-corrupt",
        message: expect.stringContaining("devices"),
      });
      truncateSync(join(stored.dir, "disk.qcow2"), 4096);
      expect((await store.verify(stored)).map(({ name, ok }) => `${name} ${ok}`)).toEqual([
        "memory false",
        "devices false",
        "disk.qcow2 false",
      ]);
      overwrite(join(stored.dir, "manifest.json"), 5, Buffer.from("X"));
      await expect(store.checkForThaw(stored)).rejects.toMatchObject({
        code: "snapshot-corrupt",
        message: expect.stringContaining("manifest.json"),
      });
      rmSync(home.root, { recursive: true, force: true });
    });
  });

  test("a socket's path that is too long is refused with its length, and nothing is made", async () => {
    const runtimeRoot = join(dir, "long".repeat(25));
    const where = place();
    const elsewhere = createRunner({ ...options, runtimeRoot });
    await expect(elsewhere.thaw({ ...where, snapshot })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/1\d\d bytes.*107/),
      hint: expect.any(String),
    });
    expect(existsSync(runtimeRoot)).toBe(false);
    expect(readdirSync(where.stateDir)).toEqual([]);
  });

  test("interrupted while it thaws: nothing is left", async () => {
    for (const delayMs of [0, 20, 60]) {
      const where = place();
      const thawing = runner.thaw({ ...where, snapshot }, AbortSignal.timeout(delayMs));
      await thawing.then((machine) => machine.stop()).catch(() => {});
      expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
      await runner.clear(where);
    }
  });

  test("a guest that never answers is a timeout, and can be stopped", async () => {
    const machine = await thawOne();
    await machine.pause();
    const started = Date.now();
    await expect(machine.agent({ deadlineMs: 700 })).rejects.toMatchObject({
      kind: "timeout",
    });
    expect(Date.now() - started).toBeGreaterThan(600);
    const pid = await pidOf(machine.record);
    await machine.stop();
    expect(isAlive(pid)).toBe(false);
  });

  test("an idle machine leaves the processor alone", async () => {
    const machine = await thawOne();
    await greet(machine);
    // The guest's own start-up work after a thaw is not idling.
    await sleep(3000);
    const [before, since] = [(await machine.stats()).cpuMs, performance.now()];
    await sleep(5000);
    const percent = (100 * ((await machine.stats()).cpuMs - before)) / (performance.now() - since);
    process.stdout.write(`idle: ${percent.toFixed(2)} % of a core\n`);
    expect(percent).toBeLessThan(Math.min(50, patient(idlePercent)));
  });
});
