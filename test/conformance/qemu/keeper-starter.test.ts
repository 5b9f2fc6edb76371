/** The starter of keepers, as the daemon uses it: with real keepers of programs that sleep. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Keeper, startKeeper } from "../../../runners/host/keeper.ts";
import { KeeperStarter } from "../../../runners/host/starter.ts";
import { isAlive, until } from "../../helpers/processes.ts";

const runtimeRoot = mkdtempSync("/tmp/tks-");
const keeperPath = resolve("dist/agent/thaw-keeper");
afterAll(() => rmSync(runtimeRoot, { recursive: true, force: true }));

const never = new AbortController().signal;
let serial = 0;

function machine(starter: KeeperStarter) {
  const id = `started-${process.pid}-${++serial}`;
  const tools = { keeperPath, starter, cgroup: `thaw-test-${process.pid}`, runtimeRoot };
  const keeper = new Keeper(tools, { id, runtimeDir: join(runtimeRoot, id) });
  const start = (signal = never, command: [string, ...string[]] = ["/usr/bin/sleep", "60"]) =>
    startKeeper(
      tools,
      {
        ...{ id, dir: join(runtimeRoot, id), cgroup: tools.cgroup, jailed: false, kvm: false },
        ...{ bindings: [], own: [], inherit: [], command },
        limits: { memoryBytes: 2 ** 26, processes: 16, cpus: 1, fileBytes: 2 ** 20 },
      },
      signal,
    );
  return { keeper, start };
}

/** Of this process. */
function starters(): number[] {
  const tasks = readdirSync("/proc/self/task");
  const children = tasks.flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number),
  );
  return children.filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "thaw-starter\n");
}

test("fifty starts at once: each is answered, and no keeper holds what is another's", async () => {
  const starter = new KeeperStarter(keeperPath);
  const machines = Array.from({ length: 50 }, () => machine(starter));
  const statuses = await Promise.all(machines.map(({ start }) => start()));
  expect(new Set(statuses.map(({ pid }) => pid)).size).toBe(50);
  for (const { pid } of statuses) {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    // Null twice, its standard error, its two sockets.
    expect(links.filter((link) => /^(pipe|socket):/.test(link))).toHaveLength(3);
    expect(links).toHaveLength(5);
  }
  await Promise.all(machines.map(({ keeper }) => keeper.end()));
  expect(statuses.filter(({ pid }) => isAlive(pid))).toEqual([]);
  expect(readdirSync(runtimeRoot)).toEqual([]);
});

test("a starter that hangs fails the starts that wait for it, and the next one starts", async () => {
  const starter = new KeeperStarter(keeperPath);
  const before = new Set(starters());
  const first = machine(starter);
  const { pid } = await first.start();
  const [hung] = starters().filter((one) => !before.has(one));
  process.kill(Number(hung), "SIGSTOP");
  const [given, other] = [machine(starter), machine(starter)];
  const reason = /thaw-keeper: it did not answer, and was killed/;
  await Promise.all([
    expect(given.start(AbortSignal.timeout(50))).rejects.toThrow(reason),
    expect(other.start()).rejects.toThrow(reason),
  ]);
  await until(async () => !isAlive(Number(hung)), "the starter to end");
  // Its machine lives on.
  expect((await first.keeper.status())?.pid).toBe(pid);
  const next = machine(starter);
  await next.start();
  for (const { keeper } of [first, next]) await keeper.end();
  expect(readdirSync(runtimeRoot)).toEqual([]);
});

test("what can't be said to the starter is refused, and harms no other start", async () => {
  const starter = new KeeperStarter(keeperPath);
  const waiting = machine(starter);
  const started = waiting.start();
  const command = (word: string): [string, ...string[]] => ["/usr/bin/sleep", word];
  await expect(machine(starter).start(never, command("a\0b"))).rejects.toThrow("has a NUL in it");
  await expect(machine(starter).start(never, command("x".repeat(2 ** 20)))).rejects.toThrow("bytes");
  await started;
  await waiting.keeper.end();
});
