/** Sandboxes that are paused for long are frozen and stopped, and go on when somebody asks: the same machine, wherever the daemon died. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import {
  killDaemon,
  machineProcesses,
  type SandboxRow,
  secondsOff,
  thaw,
  thawJson,
  until,
} from "../helpers/thaw.ts";

interface Row extends SandboxRow {
  frozen: boolean;
  snapshot: string;
  next: { action: string; at: string } | null;
  execs: { id: string; state: string }[];
}

const COUNT =
  "n=0; while :; do n=$((n+1)); echo $n; echo $n > /count.new; mv /count.new /count; sleep 0.1; done";
const row = async (name: string) => (await thawJson<Row[]>(["ls"])).find((one) => one.name === name);
const folder = (id: string) => join(testHome(), "sandboxes", id);
const inside = async (name: string, script: string) => {
  const { exitCode, stdout, stderr } = await thaw(["exec", name, "--", "sh", "-c", script]);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout).trim();
};

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  const { exitCode, stderr } = await thaw(["rm", "--all"]);
  expect(exitCode, String(stderr)).toBe(0);
});

/** A sandbox that counts, into a file and to its output. */
async function counting(name: string, ...flags: string[]): Promise<{ id: string; exec: string }> {
  const made = await thaw(["create", "--name", name, "--stop-after", "1s", "--label", "kept=yes", ...flags]);
  expect(made.exitCode, String(made.stderr)).toBe(0);
  const { stdout } = await thaw(["exec", "-d", name, "--", "sh", "-c", COUNT]);
  await until(async () => Number(await inside(name, "cat /count || echo 0")) > 3, "it to count");
  return { id: (await row(name))?.id ?? "", exec: String(stdout).trim() };
}

async function frozen(name: string): Promise<void> {
  const { state } = (await row(name)) as Row;
  if (state === "running") expect((await thaw(["pause", name])).exitCode).toBe(0);
  await until(async () => (await row(name))?.frozen === true, "it to be frozen");
}

/** Every number once, in order. */
async function expectWholeLog(name: string, exec: string): Promise<number> {
  const { stdout } = await thaw(["logs", name, exec]);
  const numbers = String(stdout).trim().split("\n").map(Number);
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  return numbers.length;
}

test("frozen and woken, twice, and over a killed daemon: processes, files, logs and identity go on", async () => {
  let countedMs = Date.now();
  const { id, exec } = await counting("web");
  const machineId = await inside("web", "head -c 100000 /dev/urandom > /blob; cat /etc/machine-id");
  const blob = await inside("web", "sha256sum < /blob");
  let counted = 0;
  for (const round of ["first", "second", "third"]) {
    await frozen("web");
    const ranMs = Date.now() - countedMs;
    // It is told when the record is on disk; the machine is ended after that.
    await until(async () => (await machineProcesses(id)).length === 0, "the machine to go");
    const stopped = await row("web");
    expect(stopped).toMatchObject({ id, state: "stopped", labels: { kept: "yes" } });
    expect(stopped?.execs.find((one) => one.id === exec)?.state).toBe("running");
    expect((await thaw(["ls"])).stdout).toMatch(/web +stopped \(frozen\)/);
    const needed = await thaw(["snapshot", "rm", stopped?.snapshot ?? ""]);
    expect([needed.exitCode, needed.stderr]).toEqual([125, expect.stringMatching(/in use by web/)]);
    if (round === "third") await killDaemon();
    await sleep(3000);
    const sinceMs = Date.now();
    const woken = await inside(
      "web",
      "cat /count; date +%s; sha256sum < /blob; cat /etc/machine-id; hostname",
    );
    const [count, date, ...rest] = woken.split("\n");
    expect(rest).toEqual([blob, machineId, "web"]);
    const wokenMs = Date.now() - sinceMs;
    // in whole seconds
    expect(secondsOff(Number(date), sinceMs)).toBeLessThan(3);
    expect(Number(count)).toBeGreaterThan(counted);
    // Ten a second at most while it ran, and none while it was frozen.
    expect(Number(count)).toBeLessThan(counted + (ranMs + wokenMs) / 100 + 10);
    counted = Number(count);
    countedMs = sinceMs;
    await until(async () => Number(await inside("web", "cat /count")) > counted + 2, "it to count on");
    expect(readdirSync(folder(id)).filter((name) => name.startsWith("frozen"))).toEqual([]);
  }
  expect(await expectWholeLog("web", exec)).toBeGreaterThan(counted);
  expect(await machineProcesses(id)).not.toEqual([]);
});

test("what wakes it, what does not, and what it allows", async () => {
  const { id } = await counting("web", "--remove-after", "1h");
  await frozen("web");
  expect((await row("web"))?.next?.action).toBe("remove");
  const refused = await thaw(["stats", "web"]);
  expect(String(refused.stderr)).toMatch(/frozen allows: exec, files, resume, extend, rm/);
  expect(String(refused.stderr)).toMatch(/thaw resume web/);
  expect((await thaw(["logs", "web", "--tail", "1"])).exitCode).toBe(0);
  expect((await row("web"))?.frozen).toBe(true);
  const asked = await Promise.all([1, 2, 3].map((n) => inside("web", `echo ${n}`)));
  expect(asked).toEqual(["1", "2", "3"]);
  await frozen("web");
  expect((await thaw(["resume", "web"])).exitCode).toBe(0);
  expect(await row("web")).toMatchObject({ state: "running", frozen: false });
  await frozen("web");
  expect((await thaw(["rm", "web"])).exitCode).toBe(0);
  expect(existsSync(folder(id))).toBe(false);
});

test("removed after a while, like whatever is stopped", async () => {
  const { id } = await counting("web", "--remove-after", "2s");
  await thaw(["pause", "web"]);
  await until(async () => (await row("web")) === undefined, "its removal");
  await until(() => !existsSync(folder(id)), "its folder to go");
});

test("removed while it wakes: the command that woke it is told, and nothing is left", async () => {
  const { id } = await counting("web");
  await frozen("web");
  // It can't end by itself before the removal.
  const woken = thaw(["exec", "web", "--", "sleep", "300"]);
  await until(
    () => !readFileSync(join(folder(id), "record.json"), "utf8").includes('"state":"stopped"'),
    "it to begin to wake",
  );
  expect((await thaw(["rm", "web"])).exitCode).toBe(0);
  const { exitCode, stderr } = await woken;
  expect([exitCode, String(stderr)]).toEqual([130, expect.stringContaining("sandbox web was removed")]);
  expect(await machineProcesses(id)).toEqual([]);
  expect(existsSync(folder(id))).toBe(false);
});

describe("a daemon that is killed", () => {
  test("while it freezes: paused still, or frozen; whichever, it goes on", async () => {
    const { id, exec } = await counting("web");
    const begun = () =>
      readdirSync(folder(id)).some((name) => name.startsWith("frozen")) ||
      readFileSync(join(folder(id), "record.json"), "utf8").includes('"state":"stopped"');
    let counted = 0;
    for (const afterMs of [0, 5, 15, 40, 80, 150, 400]) {
      await thaw(["pause", "web"]);
      const end = Date.now() + 30_000;
      while (!begun() && Date.now() < end) await sleep(1);
      await sleep(afterMs);
      await killDaemon();
      const count = Number(await inside("web", "cat /count"));
      expect(count).toBeGreaterThanOrEqual(counted);
      counted = count;
      expect(await row("web")).toMatchObject({ id, state: "running", frozen: false });
      expect(readdirSync(folder(id)).filter((name) => name.startsWith("frozen"))).toEqual([]);
    }
    await expectWholeLog("web", exec);
  });

  test("while it wakes: frozen still, or running; whichever, it goes on", async () => {
    const { id, exec } = await counting("web");
    let counted = 0;
    for (const afterMs of [150, 250, 350, 500, 700]) {
      await frozen("web");
      const asked = thaw(["resume", "web"]);
      await sleep(afterMs);
      await killDaemon();
      await asked;
      const count = Number(await inside("web", "cat /count"));
      expect(count).toBeGreaterThanOrEqual(counted);
      counted = count;
      expect(await row("web")).toMatchObject({ id, state: "running", frozen: false });
    }
    await expectWholeLog("web", exec);
    const { stdout } = await thaw(["exec", "web", "--", "sh", "-c", "pgrep -c -f 'n=[0]' || :"]);
    expect(String(stdout).trim()).toBe("1");
  });
});

test("where no differences are taken, it has a snapshot of its own, which goes with it", async () => {
  const facts = join(testHome(), "host.json");
  const before = readFileSync(facts, "utf8");
  const snapshots = async () => (await thawJson<{ id: string }[]>(["snapshot", "ls"])).map(({ id }) => id);
  const { exec } = await counting("web");
  // The verdict is known by now.
  await frozen("web");
  await inside("web", "true");
  const host = JSON.parse(readFileSync(facts, "utf8"));
  const [at, retryAt] = [0, 3_600_000].map((ms) => new Date(Date.now() + ms).toISOString());
  const value = { state: "broken", reason: "for this test", at, failures: 1, retryAt };
  host.difference = { ...host.difference, value };
  try {
    writeFileSync(facts, JSON.stringify(host));
    await killDaemon();
    const others = await snapshots();
    let own: string | undefined;
    for (const _round of [1, 2]) {
      await frozen("web");
      await until(async () => (await snapshots()).length === others.length + 1, "the one before it to go");
      expect((await row("web"))?.snapshot).not.toBe(own);
      own = (await row("web"))?.snapshot;
      expect(others).not.toContain(own);
      await inside("web", "cat /count");
      expect((await row("web"))?.snapshot).toBe(own);
    }
    await expectWholeLog("web", exec);
    expect((await thaw(["rm", "web"])).exitCode).toBe(0);
    expect(await snapshots()).toEqual(others);
  } finally {
    writeFileSync(facts, before);
    await thaw(["daemon", "stop"]);
  }
});
