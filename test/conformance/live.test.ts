/** What a runner owes the engine while a machine lives: freezing it whole, and taking its difference. On real machines. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Agent } from "../../runners/agent/agent.ts";
import type { Difference, Machine, MachineRecord, SnapshotFiles } from "../../runners/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { until } from "../helpers/thaw.ts";
import { COUNTER, greet, sh } from "./guest.ts";
import { placesIn } from "./places.ts";
import { templateFiles } from "./template.ts";
import { createRunner, whyMissing } from "./under-test.ts";

const dir = mkdtempSync("/tmp/tl-");
const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const another = () => createRunner(options);
const runner = another();
const { liveFreeze, ownDisk } = runner.capabilities;
const why = await whyMissing(runner);
/** What a machine has on its disk after so many cuts. */
const layers = (cuts: number): string[] =>
  ownDisk ? Array.from({ length: cuts }, (_, index) => `layer-${index + 1}.qcow2`) : [];
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const mode = (path: string) => statSync(path).mode & 0o777;

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "live");

describe.skipIf(why !== "" || !liveFreeze)(`${runner.name}${why && ` (${why})`}`, () => {
  let snapshot: SnapshotFiles;
  const machines: Machine[] = [];
  const agents: Agent[] = [];

  beforeAll(async () => {
    snapshot = await templateFiles();
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
    const into = join(place().stateDir, "difference");
    mkdirSync(into);
    return machine.takeDifference(into);
  };

  test("live freeze: the copy has the processes and what was not yet synced; the source never notices", async () => {
    const [source, agent] = await thawOne();
    await sh(agent, `${COUNTER} head -c 40000000 /dev/urandom > /dev/shm/fill; echo unsynced > /root/file`);
    await goesOn(agent);
    const { result, frozen } = await freeze(source);
    process.stdout.write(`live freeze: ${JSON.stringify(result)}\n`);
    expect(result).toMatchObject({ converged: true, layers: layers(1) });
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
    expect(second.result.layers).toEqual(layers(2));
    const [, third] = await thawOne(second.frozen);
    expect((await sh(third, "cat /root/file; wc -c < /root/more")).text).toBe("mine\n20000000\n");
    expect(files.map((name) => sha256(join(frozen.dir, name)))).toEqual(before);
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
    expect(frozen.layers).toEqual(layers(2));
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

  test("difference: proven once, then remembered", async () => {
    const where = place();
    const proof = { snapshot, place: { ...where, stateDir: join(where.stateDir, "proof") } };
    expect(await runner.difference(proof)).toMatchObject({ state: "works" });
    expect(await another().difference()).toMatchObject({ state: "works" });
    expect(existsSync(proof.place.stateDir)).toBe(false);
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
    expect(taken.layers).toEqual(layers(1));
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
    expect(again.layers).toEqual(layers(2));
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
});
