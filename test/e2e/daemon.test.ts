import { once } from "node:events";
import { readFileSync } from "node:fs";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  daemonPid,
  isAlive,
  killDaemon,
  machineProcesses,
  type SandboxRow,
  thaw,
  thawBin,
  thawEnv,
  thawJson,
  until,
} from "../helpers/thaw.ts";

afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});
beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});

const rows = () => thawJson<SandboxRow[]>(["ls"]);

describe("a daemon that is killed", () => {
  test("its sandboxes, their state and their paused ones are adopted by the next", async () => {
    expect((await thaw(["create", "--name", "kept"])).exitCode).toBe(0);
    expect((await thaw(["create", "--name", "asleep"])).exitCode).toBe(0);
    expect((await thaw(["pause", "asleep"])).exitCode).toBe(0);
    expect((await thaw(["exec", "kept", "--", "sh", "-c", "echo state > /tmp/s"])).exitCode).toBe(0);
    const before = await daemonPid();
    await killDaemon();
    expect((await thaw(["exec", "kept", "--", "cat", "/tmp/s"])).stdout).toBe("state\n");
    expect(await daemonPid()).not.toBe(before);
    expect((await rows()).map(({ name, state }) => `${name} ${state}`).sort()).toEqual([
      "asleep paused",
      "kept running",
    ]);
    expect((await thaw(["resume", "asleep"])).exitCode).toBe(0);
    expect((await thaw(["exec", "asleep", "--", "echo", "awake"])).stdout).toBe("awake\n");
    expect((await thaw(["rm", "kept", "asleep"])).exitCode).toBe(0);
  });

  test("a run in progress goes on; no line is lost or seen twice", async () => {
    const script =
      "for i in $(seq 1 60); do echo $i; sleep 0.1; done; until [ -e /over ]; do sleep 0.1; done; exit 5";
    const running = thaw(["run", "--name", "goes-on", "--", "sh", "-c", script]);
    if (running.stdout) await once(running.stdout, "data");
    await killDaemon();
    // The run's client starts the next one.
    await until(async () => (await thaw(["daemon", "status"])).exitCode === 0, "the next daemon");
    await killDaemon();
    expect((await thaw(["exec", "goes-on", "--", "touch", "/over"])).exitCode).toBe(0);
    const { stdout, exitCode, stderr } = await running;
    expect(String(stdout).trim().split("\n").map(Number), String(stderr)).toEqual(
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
    expect(exitCode).toBe(5);
    await until(async () => (await rows()).length === 0, "its sandbox to go");
  });

  test("a leased sandbox whose client died meanwhile is removed", async () => {
    const client = execa(process.execPath, [thawBin, "run", "--", "sleep", "300"], {
      env: thawEnv(),
      reject: false,
    });
    await until(async () => (await rows()).some(({ state }) => state === "running"), "the run to start");
    await killDaemon();
    client.kill("SIGKILL");
    await client;
    await until(async () => (await rows()).length === 0, "the lease to end");
  });
});

test("machines are the kernel's choice before the daemon when memory runs out", async () => {
  await thaw(["create", "--name", "first-to-go"]);
  const { id } = (await thawJson<SandboxRow[]>(["ls"])).find(
    ({ name }) => name === "first-to-go",
  ) as SandboxRow;
  const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
  const machines = await machineProcesses(id);
  expect(machines.length).toBeGreaterThan(0);
  const daemon = score(await daemonPid());
  for (const pid of machines) {
    const isKeeper = readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "thaw-keeper";
    expect(score(pid)).toBe(isKeeper ? daemon : Math.max(daemon, 0) + 500);
  }
  await thaw(["rm", "first-to-go"]);
});

test("what starts machines is killed: those that live stay, and the next one starts", async () => {
  await thaw(["create", "--name", "before"]);
  const { stdout: starter } = await execa("pgrep", ["-P", `${await daemonPid()}`, "-x", "thaw-starter"]);
  process.kill(Number(starter), "SIGKILL");
  expect((await thaw(["run", "--", "echo", "after"])).stdout).toBe("after\n");
  expect((await thaw(["exec", "before", "--", "echo", "lives"])).stdout).toBe("lives\n");
  await thaw(["rm", "before"]);
});

test("stop --all ends the machines as well, and says how many; also when no daemon ran", async () => {
  for (const name of ["one", "two"]) await thaw(["create", "--name", name]);
  await thaw(["pause", "two"]);
  const ids = (await thawJson<SandboxRow[]>(["ls"])).map(({ id }) => id);
  await killDaemon();
  expect((await thaw(["daemon", "stop", "--all"])).stdout).toBe("stopped, and 2 machines with it\n");
  for (const id of ids) expect(await machineProcesses(id)).toEqual([]);
  expect(await thawJson(["daemon", "stop", "--all"])).toEqual({ stopped: true, machines: 0 });
  expect(await thawJson(["ls"])).toEqual([]);
});

describe("a client that is gone", () => {
  test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)("by %s: nothing is left", async (signal) => {
    const client = execa(process.execPath, [thawBin, "run", "--", "sleep", "300"], {
      env: thawEnv(),
      reject: false,
    });
    await until(async () => (await rows()).some(({ state }) => state === "running"), "the run to start");
    const [{ id } = { id: "" }] = await rows();
    expect(await machineProcesses(id)).not.toEqual([]);
    client.kill(signal);
    await client;
    await until(async () => (await rows()).length === 0, "the sandbox to go");
    await until(async () => (await machineProcesses(id)).length === 0, "the machine to go");
  });

  test("interrupted while it thaws: nothing is left, a later run works", async () => {
    for (const delay of [100, 200, 300]) {
      const client = execa(process.execPath, [thawBin, "run", "--", "sleep", "300"], {
        env: thawEnv(),
        reject: false,
      });
      await new Promise((resolve) => setTimeout(resolve, delay));
      client.kill("SIGKILL");
      await client;
    }
    await until(async () => (await rows()).length === 0, "the sandboxes to go");
    expect((await thaw(["run", "--", "echo", "fine"])).stdout).toBe("fine\n");
  });
});

describe("a machine that ends by itself", () => {
  test.each([
    ["powers off", "sync; echo o > /proc/sysrq-trigger; sleep 60", /stopped/],
    ["panics", "echo c > /proc/sysrq-trigger; sleep 60", /panick/],
    ["reboots", "echo b > /proc/sysrq-trigger; sleep 60", /reboot|stopped|ended/],
  ])("%s: the run ends with 125 and says so; others are untouched", async (_how, command, expected) => {
    expect((await thaw(["create", "--name", "neighbour"])).exitCode).toBe(0);
    const { exitCode, stderr } = await thaw(["run", "--", "sh", "-c", command]);
    expect(exitCode).toBe(125);
    expect(String(stderr)).toMatch(expected);
    expect((await thaw(["exec", "neighbour", "--", "echo", "here"])).stdout).toBe("here\n");
    expect((await thaw(["rm", "neighbour"])).exitCode).toBe(0);
  });

  test("also when the daemon was away", async () => {
    expect((await thaw(["create", "--name", "doomed"])).exitCode).toBe(0);
    const pid = await daemonPid();
    await thaw(["exec", "-d", "doomed", "--", "sh", "-c", "sleep 3; echo c > /proc/sysrq-trigger"]);
    process.kill(pid, "SIGKILL");
    await until(() => !isAlive(pid), "the daemon to die");
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const doomed = async () => (await rows()).find(({ name }) => name === "doomed");
    // The next daemon lists it at once, and asks its machine behind that.
    await until(async () => (await doomed())?.state === "failed", "its end to be noticed");
    expect((await doomed())?.reason).toMatch(/panick/);
    await thaw(["rm", "doomed"]);
  });
});

test("the OpenAPI document is served and covers the routes", async () => {
  const socket = (await thawJson<{ socket: string }>(["daemon", "status"])).socket;
  const { stdout } = await execa("curl", ["-s", "--unix-socket", socket, "http://thaw/v1/openapi.json"]);
  const document = JSON.parse(stdout) as { openapi: string; paths: Record<string, unknown> };
  expect(document.openapi).toBe("3.1.0");
  for (const path of [
    "/v1/sandboxes",
    "/v1/sandboxes/{sandbox}/execs",
    "/v1/snapshots/{snapshot}/verify",
    "/v1/templates/build",
  ]) {
    expect(Object.keys(document.paths)).toContain(path);
  }
});
