/** What a runner owes the engine while a machine lives: freezing it whole, and taking its difference. On real machines. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openHome } from "../../engine/home.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import type { Difference, Machine, MachineRecord, Runner, SnapshotFiles } from "../../runners/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, until } from "../helpers/thaw.ts";
import { greet, sh } from "./guest.ts";

const dir = mkdtempSync("/tmp/tl-");
const options = {
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
  runtimeRoot: join(dir, "run"),
};
/** Each with how another process makes one like it, and one that never takes a difference. */
const runners: { runner: Runner; another: () => Runner; migrating: () => Runner }[] = [
  {
    runner: createQemuRunner(options),
    another: () => createQemuRunner(options),
    migrating: () => createQemuRunner({ ...options, difference: "never" }),
  },
];
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const mode = (path: string) => statSync(path).mode & 0o777;

afterAll(() => rmSync(dir, { recursive: true, force: true }));

let serial = 0;
function place(): { id: string; stateDir: string } {
  const id = `live-${process.pid}-${++serial}`;
  const stateDir = join(dir, id);
  mkdirSync(stateDir, { mode: 0o711 });
  return { id, stateDir };
}

/** Counts in a file, from a shell that is still there in every copy of the machine. */
const COUNTER =
  "(i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.05; done) < /dev/null > /dev/null 2>&1 &";

for (const { runner, another, migrating } of runners) {
  const missing = (await runner.probe()).filter(({ fatal, state }) => fatal && state === "missing");
  const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
  const can = missing.length === 0 && runner.capabilities.liveFreeze;
  if (!can && process.env[`REQUIRE_${runner.name.toUpperCase()}`] === "1")
    throw new Error(`${runner.name} can't run here: ${why}`);

  describe.skipIf(!can)(`${runner.name}${why ? ` (${why})` : ""}`, () => {
    let snapshot: SnapshotFiles;
    const machines: Machine[] = [];
    const agents: Agent[] = [];

    beforeAll(async () => {
      expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
      const store = new SnapshotStore(openHome(testHome()));
      snapshot = await store.checkForThaw(await store.get("base"));
      const where = place();
      await runner.difference({ snapshot, place: { ...where, stateDir: join(where.stateDir, "proof") } });
    });
    afterEach(async () => {
      for (const agent of agents.splice(0)) agent.close();
      for (const machine of machines.splice(0)) await machine.stop();
    });

    const thawOne = async (from = snapshot, difference?: Difference): Promise<[Machine, Agent]> => {
      const machine = await runner.thaw({ ...place(), snapshot: from, difference });
      machines.push(machine);
      const agent = await greet(machine, "live");
      agents.push(agent);
      return [machine, agent];
    };
    const freeze = async (machine: Machine, deadlineMs?: number) => {
      const where = place();
      const draft = join(where.stateDir, "snapshot");
      mkdirSync(draft);
      const result = await machine.freezeLive({
        ...where,
        dir: draft,
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      });
      expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
      const { resources, needs } = machine.record;
      const frozen: SnapshotFiles = { dir: draft, id: where.id, layers: result.layers, resources, needs };
      return { result, frozen };
    };
    const count = async (agent: Agent) => Number((await sh(agent, "cat /dev/shm/count")).text);
    const goesOn = async (agent: Agent) => {
      const before = await count(agent);
      await until(async () => (await count(agent)) > before, "the counter to go on");
      return before;
    };
    const take = async (machine: Machine): Promise<Difference> => {
      const into = join(dir, `difference-${++serial}`);
      mkdirSync(into);
      return machine.takeDifference(into);
    };

    test("live freeze: the copy has the processes and what was not yet synced; the source never notices", async () => {
      const [source, agent] = await thawOne();
      await sh(agent, `${COUNTER} head -c 40000000 /dev/urandom > /dev/shm/fill; echo unsynced > /root/file`);
      await goesOn(agent);
      const { result, frozen } = await freeze(source);
      process.stdout.write(`live freeze: ${JSON.stringify(result)}\n`);
      expect(result).toMatchObject({ converged: true, layers: ["layer-1.qcow2"] });
      // The session of before, and the disk below it.
      await goesOn(agent);
      expect((await sh(agent, "echo later > /root/later; sync; cat /root/file")).text).toBe("unsynced\n");
      const files = ["memory", "devices", "disk.qcow2", ...result.layers];
      const before = files.map((name) => sha256(join(frozen.dir, name)));
      for (const name of files) expect(mode(join(frozen.dir, name)), name).toBe(0o444);
      if (process.getuid?.() === 0)
        for (const name of files) expect(statSync(join(frozen.dir, name)).uid).toBe(0);

      const sum = "sha256sum < /dev/shm/fill";
      const expected = (await sh(agent, sum)).text;
      const [copy, inside] = await thawOne(frozen);
      await goesOn(inside);
      expect((await sh(inside, `cat /root/file; ls /root/later 2>&1 | tail -c 12; ${sum}`)).text).toMatch(
        /^unsynced\n.*o such file|^unsynced\n/,
      );
      expect((await sh(inside, "test -e /root/later")).exit.code).toBe(1);
      expect((await sh(inside, sum)).text).toBe(expected);
      await sh(inside, "echo mine > /root/file; sync; head -c 20000000 /dev/urandom > /root/more; sync");
      expect((await sh(agent, "cat /root/file")).text).toBe("unsynced\n");

      // A snapshot of a clone of a snapshot of a clone.
      const second = await freeze(copy);
      expect(second.result.layers).toEqual(["layer-1.qcow2", "layer-2.qcow2"]);
      const [, third] = await thawOne(second.frozen);
      expect((await sh(third, "cat /root/file; wc -c < /root/more")).text).toBe("mine\n20000000\n");
      expect(files.map((name) => sha256(join(frozen.dir, name)))).toEqual(before);
    });

    test("live freeze where no difference can be taken: the stream, of a busy machine stopped and said so", async () => {
      const source = await migrating().thaw({ ...place(), snapshot });
      machines.push(source);
      const agent = await greet(source, "live");
      agents.push(agent);
      await sh(
        agent,
        `${COUNTER} (while :; do head -c 100000000 /dev/zero | tr '\\0' x > /dev/shm/busy; done) > /dev/null 2>&1 < /dev/null &`,
      );
      const { result, frozen } = await freeze(source, 1);
      expect(result.layers).toEqual(["layer-1.qcow2"]);
      process.stdout.write(`busy: ${JSON.stringify(result)}\n`);
      expect(result.converged).toBe(false);
      expect(result.pauseMs).toBeGreaterThan(0);
      await goesOn(agent);
      const [, inside] = await thawOne(frozen);
      await goesOn(inside);
    });

    test("live freeze of a paused machine leaves it paused; of one taken up by another process it works", async () => {
      const [source, agent] = await thawOne();
      await sh(agent, COUNTER);
      await source.pause();
      const { result } = await freeze(source);
      expect(result.pauseMs).toBe(0);
      expect(await source.state()).toBe("paused");
      agent.close();
      await source.detach();
      const adopted = await another().adopt(JSON.parse(JSON.stringify(source.record)) as MachineRecord);
      machines.push(adopted);
      await adopted.resume();
      const again = await greet(adopted, "live");
      agents.push(again);
      await goesOn(again);
      const { frozen } = await freeze(adopted);
      expect(frozen.layers).toEqual(["layer-1.qcow2", "layer-2.qcow2"]);
      const [, inside] = await thawOne(frozen);
      await goesOn(inside);
    });

    test("live freeze that is interrupted leaves the source running and nothing behind", async () => {
      const [source, agent] = await thawOne();
      await sh(agent, `${COUNTER} head -c 60000000 /dev/urandom > /dev/shm/fill`);
      for (const delayMs of [0, 100, 300]) {
        const where = place();
        mkdirSync(join(where.stateDir, "snapshot"));
        const spec = { ...where, dir: join(where.stateDir, "snapshot") };
        await source.freezeLive(spec, AbortSignal.timeout(delayMs)).catch(() => {});
        expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
        await goesOn(agent);
      }
      const { frozen } = await freeze(source);
      const [, inside] = await thawOne(frozen);
      await goesOn(inside);
    });

    test("a machine that was booted refuses", async () => {
      const [source] = await thawOne();
      rmSync(join(source.record.stateDir, "chain.json"));
      const where = place();
      await expect(source.freezeLive({ ...where, dir: where.stateDir })).rejects.toMatchObject({
        code: "unsupported",
      });
    });

    test("difference: proven once, then remembered", async () => {
      const where = place();
      const proof = { snapshot, place: { ...where, stateDir: join(where.stateDir, "proof") } };
      expect(await runner.difference(proof)).toMatchObject({ state: "works" });
      expect(await another().difference()).toMatchObject({ state: "works" });
      expect(existsSync(proof.place.stateDir)).toBe(false);
    });

    test("difference: eight ask at once where nothing was proven: one self-test; a failed one is tried again later", async () => {
      const home = join(dir, `home-${++serial}`);
      mkdirSync(home);
      const [pagesPath, taken] = [join(home, "pages"), join(home, "taken")];
      const helper = resolve("dist/agent/thaw-pages");
      writeFileSync(
        pagesPath,
        `#!/bin/sh\necho x >> ${taken}\n[ -e ${home}/fail ] && exit 9\nexec ${helper} "$@"\n`,
        { mode: 0o755 },
      );
      const fresh = createQemuRunner({ ...options, home, pagesPath });
      const ask = () => {
        const where = place();
        return fresh.difference({ snapshot, place: { ...where, stateDir: join(where.stateDir, "proof") } });
      };
      writeFileSync(join(home, "fail"), "");
      expect(await ask()).toMatchObject({
        state: "broken",
        reason: expect.stringMatching(/copying memory failed: .*\(failed, last at .*; tried again after/),
      });
      rmSync(join(home, "fail"));
      expect(await ask()).toMatchObject({ state: "broken" });
      expect(readFileSync(taken, "utf8")).toBe("x\n");
      const file = join(home, "host.json");
      writeFileSync(
        file,
        readFileSync(file, "utf8").replace(/"retryAt": "[^"]*"/, '"retryAt": "2020-01-01T00:00:00Z"'),
      );
      for (const verdict of await Promise.all(Array.from({ length: 8 }, ask)))
        expect(verdict).toMatchObject({ state: "works", at: expect.any(String) });
      expect(readFileSync(taken, "utf8")).toBe("x\nx\n");
    });

    test("difference: children go on from that instant, each for itself, and so do theirs", async () => {
      const [source, agent] = await thawOne();
      await sh(
        agent,
        `${COUNTER} head -c 20000000 /dev/urandom > /dev/shm/fill; echo unsynced > /root/file; sha256sum < /dev/shm/fill > /dev/shm/sum`,
      );
      await goesOn(agent);
      const memory = sha256(join(snapshot.dir, "memory"));
      const taken = await take(source);
      process.stdout.write(`difference: ${taken.pauseMs.toFixed(1)} ms, ${taken.copiedBytes >> 20} MiB\n`);
      expect(taken.layers).toEqual(["layer-1.qcow2"]);
      await goesOn(agent);
      await sh(agent, "echo changed > /root/file; sync");

      const children = await Promise.all([thawOne(snapshot, taken), thawOne(snapshot, taken)]);
      for (const [, child] of children) {
        await goesOn(child);
        expect(
          (await sh(child, "cat /root/file; sha256sum < /dev/shm/fill | diff - /dev/shm/sum && echo same"))
            .text,
        ).toBe("unsynced\nsame\n");
      }
      const ids = await Promise.all(
        children.map(async ([, child]) => (await sh(child, "cat /etc/machine-id")).text),
      );
      expect(new Set(ids).size).toBe(2);
      runner.forget(taken.id);
      rmSync(taken.dir, { recursive: true });

      // A child of a child: what it inherited and what it wrote, and a freeze of that.
      const [first] = children;
      if (!first) throw new Error("no child");
      await sh(first[1], "echo child > /root/file; echo memory > /dev/shm/child");
      const again = await take(first[0]);
      expect(again.layers).toEqual(["layer-1.qcow2", "layer-2.qcow2"]);
      const [grandchild, inside] = await thawOne(snapshot, again);
      await goesOn(inside);
      const look =
        "cat /root/file /dev/shm/child; sha256sum < /dev/shm/fill | diff - /dev/shm/sum && echo same";
      expect((await sh(inside, look)).text).toBe("child\nmemory\nsame\n");
      const { frozen } = await freeze(grandchild);
      const [, last] = await thawOne(frozen);
      expect((await sh(last, look)).text).toBe("child\nmemory\nsame\n");
      expect(sha256(join(snapshot.dir, "memory"))).toBe(memory);
    });

    test("the chain of disks is flattened behind the tenth cut, and all that was cut stays whole", async () => {
      const [source, agent] = await thawOne();
      const taken: Difference[] = [];
      const disk = join(source.record.stateDir, "disk");
      for (let round = 0; round < 11; round++) {
        await sh(agent, `echo ${round} > /root/round-${round}; sync`);
        // Nothing waits for it, and a cut ends it.
        if (round === 10) await until(() => readdirSync(disk).length < 5, "the chain to be flattened");
        taken.push(await take(source));
      }
      expect(Math.max(...taken.map(({ layers }) => layers.length))).toBeLessThanOrEqual(10);
      expect(taken.at(-1)?.layers.length).toBeLessThan(5);
      const overlays = readdirSync(disk);
      expect(overlays.length, overlays.join(" ")).toBeLessThan(5);
      for (const round of [3, 10]) {
        const [machine, child] = await thawOne(snapshot, taken[round]);
        expect((await sh(child, "ls /root | grep -c round")).text).toBe(`${round + 1}\n`);
        await machine.stop();
      }
    });
  });
}
