/** What every runner owes the engine (runners/runner.ts), on real machines. A runner whose probe says no is skipped with its reason. */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  constants,
  copyFileSync,
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
  truncateSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openHome } from "../../engine/home.ts";
import { freshIdentity } from "../../engine/sandboxes/identity.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import type { Machine, MachineEnd, MachineRecord, Runner, SnapshotFiles } from "../../runners/runner.ts";
import { pidOf } from "../helpers/keeper.ts";
import { testHome } from "../helpers/test-home.ts";
import { isAlive, thaw, thawJson, until } from "../helpers/thaw.ts";
import { begin, sh } from "./guest.ts";
import { patient, settings, template, templateSnapshot } from "./this-host.ts";

const dir = mkdtempSync("/tmp/tc-");
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

const qemuOptions = {
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
  runtimeRoot: join(dir, "run"),
};
const qemu = (options = qemuOptions): Runner => {
  const runner = createQemuRunner(options);
  runner.configure(settings);
  return runner;
};
/** Each with how another process makes one like it. */
const runners: { runner: Runner; another: () => Runner; options: object }[] = [
  { runner: qemu(), another: qemu, options: qemuOptions },
];

afterAll(() => rmSync(dir, { recursive: true, force: true }));

let serial = 0;
function place(): { id: string; stateDir: string } {
  const id = `conf-${process.pid}-${++serial}`;
  const stateDir = join(dir, id);
  mkdirSync(stateDir, { mode: 0o711 });
  return { id, stateDir };
}

/** A disk without room for cached folders, whose first sector is far behind in its file, as `qemu-img convert -W` may leave it. */
function writeRootDisk(path: string, { from, diskMib }: { from: string; diskMib: number }): void {
  const file = { driver: "qcow2", file: { driver: "file", filename: from } };
  const source = `json:${JSON.stringify({ driver: "raw", size: diskMib * 2 ** 20, file })}`;
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", path, `${diskMib}M`]);
  execFileSync("qemu-io", ["-c", "write -q 64M 80M", path]);
  execFileSync("qemu-img", ["convert", "-n", "-O", "qcow2", source, path]);
}

/** The first end a machine tells of. */
function endOf(machine: Machine): Promise<MachineEnd> {
  return new Promise((done) => machine.onEnd(done));
}

for (const { runner, another, options } of runners) {
  const missing = (await runner.probe()).filter(({ fatal, state }) => fatal && state === "missing");
  const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
  if (missing.length > 0 && process.env[`REQUIRE_${runner.name.toUpperCase()}`] === "1")
    throw new Error(`${runner.name} can't run here: ${why}`);

  describe.skipIf(missing.length > 0)(`${runner.name}${why ? ` (${why})` : ""}`, () => {
    let snapshot: SnapshotFiles;
    /** The template's snapshot: the tests boot machines from its disk. */
    let built: { id: string; resources: SnapshotFiles["resources"] };
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
      const copy = { ...snapshot, dir: join(dir, `copy-${++serial}`), id: `copy${serial}` };
      mkdirSync(copy.dir);
      for (const file of ["memory", "devices", "disk.qcow2"]) {
        if (file === name) copyFileSync(join(snapshot.dir, file), join(copy.dir, file));
        else cpSync(join(snapshot.dir, file), join(copy.dir, file));
      }
      return copy;
    };

    beforeAll(async () => {
      const { exitCode, stderr } = await thaw(["template", "build", template], { timeout: patient(300_000) });
      expect(exitCode, String(stderr)).toBe(0);
      built = await thawJson(["snapshot", "inspect", templateSnapshot]);
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
      const ofTemplate = join(testHome(), "snapshots", built.id, "disk.qcow2");
      writeRootDisk(join(draft, "disk.qcow2"), { from: ofTemplate, diskMib: resources.diskMib });
      const machine = await runner.boot({
        ...where,
        resources,
        kernelDir,
        disk: { path: join(draft, "disk.qcow2"), format: "qcow2" },
        memoryFile: join(draft, "memory"),
      });
      machines.push(machine);
      const agent = await greet(machine);
      expect(
        (
          await sh(agent, "echo frozen > /root/mark; cat /proc/net/dev | tail -n +3 | cut -d: -f1")
        ).text.trim(),
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
      expect(statSync(join(draft, "memory")).size).toBe(resources.memoryMib << 20);
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
      expect(new Set(clones.map(({ record }) => record.uid)).size).toBe(process.getuid?.() === 0 ? 3 : 1);
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
      await sh(agent, "echo said-on-the-console > /dev/ttyS0");
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
        "yes abcdefghijklmnopqrstuvwxyz | head -c 200000 > /dev/ttyS0; echo the-end > /dev/ttyS0",
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
      const ways: [MachineEnd["kind"], string][] = [
        ["powered-off", "sync; echo o > /proc/sysrq-trigger; sleep 60"],
        ["rebooted", "echo b > /proc/sysrq-trigger; sleep 60"],
        ["panicked", "echo c > /proc/sysrq-trigger; sleep 60"],
      ];
      test.each(ways)("%s, while attached", async (kind, script) => {
        const machine = await thawOne();
        const end = endOf(machine);
        const agent = await greet(machine);
        sh(agent, script).catch(() => {});
        expect((await end).kind).toBe(kind);
        expect(await machine.state()).toBe("ended");
        if (kind === "panicked") expect(await machine.console()).toMatch(/panic/i);
      });

      test.each(ways)("%s, while nobody was there", async (kind, script) => {
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

    describe("the jail", () => {
      const statusOf = (pid: number) =>
        Object.fromEntries(
          readFileSync(`/proc/${pid}/status`, "utf8")
            .split("\n")
            .map((line) => line.split(":\t")) as [string, string][],
        );

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
        for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"])
          expect(BigInt(`0x${status[set]}`)).toBe(0n);
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
        await greet(machine);
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

      /** Opens for writing and writes. */
      function poke(path: string): void {
        const fd = openSync(path, constants.O_WRONLY);
        try {
          writeSync(fd, "x", 0);
        } finally {
          closeSync(fd);
        }
      }
    });

    describe("refuses, naming the file", () => {
      const refused = async (from: SnapshotFiles, name: string | RegExp) => {
        const where = place();
        const thawing = runner.thaw({ ...where, snapshot: from }).then((machine) => machines.push(machine));
        await expect(thawing).rejects.toMatchObject({
          code: "corrupt-snapshot",
          message: expect.stringMatching(name),
        });
        expect(existsSync(join(qemuOptions.runtimeRoot, where.id))).toBe(false);
        expect(readdirSync(where.stateDir)).toEqual([]);
      };
      test.each([
        ["memory", (path: string) => truncateSync(path, 1000)],
        ["devices", (path: string) => truncateSync(path, 0)],
        ["devices", (path: string) => truncateSync(path, 5000)],
        ["devices", (path: string) => overwrite(path, 100, Buffer.alloc(400, 0xee))],
        ["disk.qcow2", (path: string) => truncateSync(path, 50)],
        ["disk.qcow2", (path: string) => overwrite(path, 0, Buffer.from("not a disk"))],
        // Header fields: a backing file, an external data file, encryption, a size of its own.
        [
          "disk.qcow2",
          (path: string) => overwrite(path, 8, Buffer.from([0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 11])),
        ],
        ["disk.qcow2", (path: string) => overwrite(path, 79, Buffer.from([4]))],
        ["disk.qcow2", (path: string) => overwrite(path, 35, Buffer.from([1]))],
        ["disk.qcow2", (path: string) => overwrite(path, 28, Buffer.from([0, 0, 16, 0]))],
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
          needs: { ...snapshot.needs, machine: "pc-q35-99.9", devices: "0".repeat(16) },
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
        overwrite(join(stored.dir, "memory"), 12_345_678, Buffer.from("altered"));
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
      const elsewhere = createQemuRunner({ ...qemuOptions, runtimeRoot });
      elsewhere.configure(settings);
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
        expect(existsSync(join(qemuOptions.runtimeRoot, where.id))).toBe(false);
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
      expect(percent).toBeLessThan(Math.min(50, patient(3)));
    });
  });
}
