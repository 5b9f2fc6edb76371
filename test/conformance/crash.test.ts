/** Crashes that are held: the dying process stays, is looked at, survives a fork, gives its core, and ends when let go. On real machines. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Agent } from "../../runners/agent/agent.ts";
import type { CrashEvent } from "../../runners/agent/messages.ts";
import type { Difference, Machine, SnapshotFiles } from "../../runners/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { until } from "../helpers/thaw.ts";
import { begin, greet, type Running, sh } from "./guest.ts";
import { placesIn } from "./places.ts";
import { templateFiles } from "./template.ts";
import { createRunner, whyMissing } from "./under-test.ts";

const dir = mkdtempSync("/tmp/tc-");
const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const runner = createRunner(options);
const { ownKernel } = runner.capabilities;
const why = ownKernel ? await whyMissing(runner) : "a crash is held by the guest's own kernel";

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const place = placesIn(dir, "crash");

/** Reads the string at address 1. */
const NULL_POINTER = `perl -e '$marker = "needle" x 1000; unpack("p", pack("Q", 1))'`;

async function crashOf(running: Running, count = 1): Promise<CrashEvent> {
  await until(() => running.crashes.length >= count, `crash ${count}`);
  const crash = running.crashes[count - 1];
  if (!crash) throw new Error("no crash");
  return crash;
}

function expectCore(core: Buffer): void {
  expect(core.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
  expect(core.readUInt16LE(16)).toBe(4);
}

describe.skipIf(why !== "")(`${runner.name}${why && ` (${why})`}`, () => {
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

  const thawOne = async (difference?: Difference): Promise<[Machine, Agent]> => {
    const machine = await runner.thaw({ ...place(), snapshot, difference });
    machines.push(machine);
    const agent = await greet(machine, "crash");
    agents.push(agent);
    return [machine, agent];
  };

  test("a crash is told, its process can be looked at, and ends by its signal when it is released", async () => {
    const [, agent] = await thawOne();
    const running = await begin(agent, { script: "kill -SEGV $$", holdCrashes: true });
    const crash = await crashOf(running);
    expect(crash).toEqual({ event: "crash", pid: crash.pid, signal: "SEGV", name: "sh" });
    expect((await sh(agent, `cat /proc/${crash.pid}/maps`)).text).toContain("[stack]");
    await agent.release(running.id, crash.pid);
    expect(await running.exit).toMatchObject({ code: null, signal: "SIGSEGV" });
    await expect(agent.release(running.id, crash.pid)).rejects.toMatchObject({ kind: "not-found" });
    await expect(agent.core()).rejects.toMatchObject({ kind: "not-found" });
  });

  test("a real one, in a grandchild of another user; told again to who attaches; its core has its memory", async () => {
    const [machine, agent] = await thawOne();
    const script = `sh -c "$0"; echo $?`.replace("$0", NULL_POINTER.replaceAll(/["$]/g, "\\$&"));
    const running = await begin(agent, { script: `(${script})`, holdCrashes: true, user: "1234:1234" });
    const crash = await crashOf(running);
    expect(crash).toMatchObject({ signal: "SEGV", name: "perl" });
    const listed = (await agent.processes()).processes.find(({ pid }) => pid === crash.pid);
    expect(listed).toMatchObject({ uid: 1234, name: "perl" });

    agent.close();
    const again = await greet(machine, "again");
    agents.push(again);
    const attached = await begin(again, { id: running.id });
    expect(await crashOf(attached)).toEqual(crash);
    const { body, ...told } = await again.core(crash.pid);
    expect(told).toEqual({ pid: crash.pid, signal: "SEGV", name: "perl" });
    const core = await buffer(body);
    expectCore(core);
    expect(core.includes("needle".repeat(1000))).toBe(true);
    expect(await attached.exit).toMatchObject({ code: 0, signal: null });
    // 128 + SIGSEGV.
    expect(attached.text()).toContain("139\n");
  });

  test("nothing is delayed for an exec that did not ask, nor for more crashes than are held", async () => {
    const [, agent] = await thawOne();
    const crash = (count: number) => `for i in $(seq ${count}); do sh -c 'kill -SEGV $$' & wait $!; done`;
    await sh(agent, crash(5));
    const before = await sh(agent, crash(20));
    const holding = await begin(agent, {
      script: `for i in 1 2 3 4 5; do sh -c 'kill -ABRT $$' & done; wait; echo done`,
      holdCrashes: true,
    });
    await crashOf(holding, 4);
    const after = await sh(agent, crash(20));
    process.stdout.write(
      `20 crashes: ${before.exit.durationMs} ms without a handler, ${after.exit.durationMs} ms with one that lets go\n`,
    );
    expect(after.exit).toMatchObject({ code: 139 });
    // The fifth is gone, the four wait.
    const { processes } = await agent.processes();
    for (const { pid } of holding.crashes) {
      expect(processes.some((process) => process.pid === pid)).toBe(true);
      await agent.release(holding.id, pid);
    }
    expect(await holding.exit).toMatchObject({ code: 0 });
    expect(holding.crashes).toHaveLength(4);
  });

  test("a core whose process is killed meanwhile ends; killing and forgetting let go", async () => {
    const [, agent] = await thawOne();
    const script = `exec perl -e '$memory = "x" x 60_000_000; kill SEGV => $$; sleep 1 while 1'`;
    const running = await begin(agent, { script, holdCrashes: true });
    await crashOf(running);
    const { body } = await agent.core();
    body.once("readable", () => {});
    await until(() => body.readableLength > 0, "some of the core");
    await agent.signal(running.id, "KILL", "tree");
    const killed = (await running.exit).signal;
    process.stdout.write(`killed in its core dump: ${killed}\n`);
    expect(["SIGKILL", "SIGSEGV"]).toContain(killed);
    expect((await buffer(body)).length).toBeLessThan(60_000_000);

    const held = await begin(agent, { script: "kill -SEGV $$", holdCrashes: true });
    await crashOf(held);
    await agent.signal(held.id, "KILL", "tree");
    expect(["SIGKILL", "SIGSEGV"]).toContain((await held.exit).signal);
    await expect(agent.core()).rejects.toMatchObject({ kind: "not-found" });

    const leaving = await begin(agent, {
      script: `sh -c 'kill -SEGV $$' & echo $! > /tmp/child; sleep 1`,
      holdCrashes: true,
    });
    const left = await crashOf(leaving);
    expect(await leaving.exit).toMatchObject({ code: 0 });
    await agent.forget(leaving.id);
    await until(async () => {
      const { processes } = await agent.processes();
      return !processes.some(({ pid }) => pid === left.pid);
    }, "the process to end");
  });

  test("five crashes in a row, each released", async () => {
    const [, agent] = await thawOne();
    const script = "for i in 1 2 3 4 5; do sh -c 'kill -BUS $$'; done; echo over";
    const running = await begin(agent, { script, holdCrashes: true });
    for (let count = 1; count <= 5; count++)
      await agent.release(running.id, (await crashOf(running, count)).pid);
    expect(await running.exit).toMatchObject({ code: 0 });
    expect(running.text()).toContain("over\n");
  });

  test("a held crash is held in a copy of the machine too, and the copy gives its core", async () => {
    const [source, agent] = await thawOne();
    const running = await begin(agent, { script: `exec ${NULL_POINTER}`, holdCrashes: true });
    const crash = await crashOf(running);
    const into = join(place().stateDir, "difference");
    mkdirSync(into);
    const taken = await source.takeDifference(into);
    await agent.release(running.id, crash.pid);
    expect(await running.exit).toMatchObject({ signal: "SIGSEGV" });

    const [, copy] = await thawOne(taken);
    const attached = await begin(copy, { id: running.id });
    expect(await crashOf(attached)).toEqual(crash);
    expect((await sh(copy, `grep -c . /proc/${crash.pid}/maps`)).exit.code).toBe(0);
    const core = await buffer((await copy.core()).body);
    expectCore(core);
    expect(core.includes("needle".repeat(1000))).toBe(true);
    expect(await attached.exit).toMatchObject({ signal: "SIGSEGV" });
    runner.forget(taken.id);
  });

  test("processes: those of the user and what listens, quickly", async () => {
    const [, agent] = await thawOne();
    const script = `perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(8080, INADDR_LOOPBACK)); listen(S, 5); print "up\\n"; $| = 1; sleep 1000'`;
    const running = await begin(agent, {
      script: `${script.replace("socket(S", "$| = 1; socket(S")} & wait`,
    });
    await until(() => running.text().includes("up"), "the listener");
    const times: number[] = [];
    for (let round = 0; round < 10; round++) {
      const start = performance.now();
      await agent.processes();
      times.push(performance.now() - start);
    }
    process.stdout.write(`processes: ${times.map((time) => time.toFixed(1)).join(" ")} ms\n`);
    const { processes, listening, truncated } = await agent.processes();
    const perl = processes.find(({ name }) => name === "perl");
    expect(perl).toMatchObject({ uid: 0, state: "S", command: expect.stringContaining("sockaddr_in(8080") });
    expect(processes.some(({ pid, parent }) => pid === perl?.parent && parent === 1)).toBe(true);
    expect(processes.some(({ name }) => name.startsWith("kworker"))).toBe(false);
    expect(listening).toEqual([{ protocol: "tcp", address: "127.0.0.1", port: 8080, pid: perl?.pid }]);
    expect(truncated).toBe(false);
    const forks = `perl -e 'for (1..300) { fork or sleep(1000), exit } print "forked\n"'`;
    await sh(agent, `${forks} > /dev/null 2>&1`);
    const start = performance.now();
    const many = await agent.processes();
    process.stdout.write(`processes, of 300: ${(performance.now() - start).toFixed(1)} ms\n`);
    expect(many.processes).toHaveLength(256);
    expect(many.truncated).toBe(true);
  });
});
