/** Freezes and differences as only QEMU makes them: a second process, a chain of disks, a helper that copies memory. On real machines. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Agent } from "../../../runners/agent/agent.ts";
import { createQemuRunner } from "../../../runners/qemu/runner.ts";
import type { Difference, Machine, SnapshotFiles } from "../../../runners/runner.ts";
import { testHome } from "../../helpers/test-home.ts";
import { until } from "../../helpers/thaw.ts";
import { COUNTER, greet, sh } from "../guest.ts";
import { placesIn } from "../places.ts";
import { templateFiles } from "../template.ts";
import { createRunner, whyMissing } from "../under-test.ts";

const dir = mkdtempSync("/tmp/tq-");
const options = {
  home: testHome(),
  runtimeRoot: join(dir, "run"),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
};
const runner = createRunner(options);
const why = await whyMissing(runner);

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "disk");

describe.skipIf(why !== "")(`qemu${why && ` (${why})`}`, () => {
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

  const talk = async (machine: Machine): Promise<Agent> => {
    machines.push(machine);
    const agent = await greet(machine, "live");
    agents.push(agent);
    return agent;
  };
  const thawOne = async (from = snapshot, difference?: Difference): Promise<[Machine, Agent]> => {
    const machine = await runner.thaw({ ...place(), snapshot: from, difference });
    return [machine, await talk(machine)];
  };
  const goesOn = async (agent: Agent): Promise<void> => {
    const count = async () => Number((await sh(agent, "cat /dev/shm/count")).text);
    const before = await count();
    await until(async () => (await count()) > before, "the counter to go on");
  };

  test("live freeze where no difference can be taken: the stream, of a busy machine stopped and said so", async () => {
    const migrating = createQemuRunner({ ...options, difference: "never" });
    const source = await migrating.thaw({ ...place(), snapshot });
    const agent = await talk(source);
    await sh(
      agent,
      `${COUNTER} (while :; do head -c 100000000 /dev/zero | tr '\\0' x > /dev/shm/busy; done) > /dev/null 2>&1 < /dev/null &`,
    );
    const where = place();
    const draft = join(where.stateDir, "snapshot");
    mkdirSync(draft);
    const result = await source.freezeLive({ ...where, dir: draft, deadlineMs: 1 });
    expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
    expect(result.layers).toEqual(["layer-1.qcow2"]);
    process.stdout.write(`busy: ${JSON.stringify(result)}\n`);
    expect(result.converged).toBe(false);
    expect(result.pauseMs).toBeGreaterThan(0);
    await goesOn(agent);
    const { resources, needs } = source.record;
    const { layers } = result;
    const [, inside] = await thawOne({ dir: draft, id: where.id, layers, resources, needs });
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

  test("difference: eight ask at once where nothing was proven: one self-test; a failed one is tried again later", async () => {
    const home = join(place().stateDir, "home");
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

  test("the chain of disks is flattened behind the tenth cut, and all that was cut stays whole", async () => {
    const [source, agent] = await thawOne();
    const taken: Difference[] = [];
    const disk = join(source.record.stateDir, "disk");
    for (let round = 0; round < 11; round++) {
      await sh(agent, `echo ${round} > /root/round-${round}; sync`);
      // Nothing waits for it, and a cut ends it.
      if (round === 10) await until(() => readdirSync(disk).length < 5, "the chain to be flattened");
      const into = join(place().stateDir, "difference");
      mkdirSync(into);
      taken.push(await source.takeDifference(into));
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
