/** Requests at bad moments: the daemon is killed, stopped or replaced, or the user presses Ctrl-C. Nothing is made twice, nothing is left. */

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import {
  daemonPid,
  isAlive,
  killDaemon,
  type SandboxRow,
  thaw,
  thawBin,
  thawEnv,
  thawJson,
  until,
} from "../helpers/thaw.ts";

const rows = () => thawJson<SandboxRow[]>(["ls"]);
const lock = () => join(testHome(), "daemon.lock");
/** Without a request, which would start a daemon. */
const lockedBy = (): number => JSON.parse(readFileSync(lock(), "utf8")).pid;

/** As `lockedBy`; undefined while a daemon that starts is writing it. */
function lockedNow(): number | undefined {
  try {
    return lockedBy();
  } catch {
    return undefined;
  }
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

/** A daemon that is there: one that was killed right after its last answer was needed by nobody since. */
async function startedDaemon(): Promise<number> {
  expect((await thaw(["daemon", "start"])).exitCode).toBe(0);
  return daemonPid();
}

/** Runs `thaw` and kills the daemon that there is after a while, unless the command has ended. */
async function killedMeanwhile(args: string[], afterMs: number) {
  const pid = await startedDaemon();
  const asked = thaw(args);
  const ended = await Promise.race([sleep(afterMs, false), asked.then(() => true)]);
  if (!ended && isAlive(pid)) process.kill(pid, "SIGKILL");
  const { exitCode, stdout, stderr } = await asked;
  return { exitCode, stdout: String(stdout), stderr: String(stderr) };
}

/** Runs `thaw` and kills the daemon at the moment when an entry with such a name appears in a folder of the home. */
async function killedWhen(args: string[], folder: string, name: RegExp) {
  const pid = await startedDaemon();
  let isKilled = false;
  const watcher = watch(join(testHome(), folder), (_event, entry) => {
    if (isKilled || !name.test(entry ?? "")) return;
    watcher.close();
    isKilled = process.kill(pid, "SIGKILL");
  });
  const { exitCode, stdout, stderr } = await thaw(args);
  watcher.close();
  expect(isKilled, "killed in time").toBe(true);
  await until(() => !isAlive(pid), "the daemon to die");
  return { exitCode, stdout: String(stdout), stderr: String(stderr) };
}

describe("the daemon is killed in the middle of", () => {
  test.each([60, 200, 350, 600])("create, after %d ms: one sandbox", async (afterMs) => {
    expect(await killedMeanwhile(["create", "--name", "web"], afterMs)).toMatchObject({
      ...{ exitCode: 0, stdout: "web\n", stderr: "" },
    });
    expect((await rows()).map(({ name }) => name)).toEqual(["web"]);
    expect((await thaw(["exec", "web", "--", "echo", "here"])).stdout).toBe("here\n");
  });

  test("exec: the command runs once, and its exit code arrives", async () => {
    await thaw(["create", "--name", "web"]);
    const delays = [60, 90, 120, 200];
    for (const afterMs of delays) {
      const asked = ["exec", "web", "--", "sh", "-c", "echo x >> /ran; echo ran; exit 3"];
      expect(await killedMeanwhile(asked, afterMs)).toMatchObject({ exitCode: 3, stdout: "ran\n" });
    }
    const { stdout } = await thaw(["exec", "web", "--", "cat", "/ran"]);
    expect(stdout).toBe("x\n".repeat(delays.length));
  });

  test("fork: as many children as were asked for", async () => {
    await thaw(["create", "--name", "web"]);
    for (const afterMs of [100, 400]) {
      const asked = ["fork", "web", "-n", "2", "--name", `copy-${afterMs}`];
      const { exitCode, stdout } = await killedMeanwhile(asked, afterMs);
      expect([exitCode, stdout]).toEqual([0, `copy-${afterMs}-1\ncopy-${afterMs}-2\n`]);
    }
    expect((await rows()).map(({ name }) => name).sort()).toEqual([
      "copy-100-1",
      "copy-100-2",
      "copy-400-1",
      "copy-400-2",
      "web",
    ]);
  });

  test("freeze: one snapshot, and it is tagged, also when it is killed right before the answer", async () => {
    await thaw(["create", "--name", "web"]);
    const snapshots = async () => (await thawJson<{ id: string }[]>(["snapshot", "ls"])).length;
    const before = await snapshots();
    const early = await killedMeanwhile(["freeze", "web", "cut:1"], 300);
    expect([early.exitCode, await snapshots()]).toEqual([0, before + 1]);
    const late = await killedWhen(["freeze", "web", "cut:2"], "snapshots", /^[0-9a-f]{16}$/);
    expect([late.exitCode, await snapshots()]).toEqual([0, before + 2]);
    expect((await thaw(["snapshot", "rm", "cut:1", "cut:2"])).exitCode).toBe(0);
  });

  test("capture create: one capture, also when it is killed right before the answer", async () => {
    await thaw(["create", "--name", "web"]);
    const captures = async () =>
      (await thawJson<{ id: string }[]>(["capture", "ls"])).map(({ id }) => id).sort();
    const before = await captures();
    const told: string[] = [];
    for (const moment of [/^\.capture-/, /^capture-/]) {
      const made = await killedWhen(["capture", "create", "web", "--json"], "captures", moment);
      expect(made.exitCode, made.stderr).toBe(0);
      told.push(JSON.parse(made.stdout).id);
      expect(await captures()).toEqual([...before, ...told].sort());
    }
    expect((await thaw(["capture", "rm", ...told])).exitCode).toBe(0);
  });

  test("rename: the old name leads nowhere any more, and who asks again gets the answer", async () => {
    await thaw(["create", "--name", "web"]);
    const { id } = (await rows())[0] as SandboxRow;
    expect(await killedWhen(["rename", "web", "site"], `sandboxes/${id}`, /^record\.json/)).toMatchObject({
      ...{ exitCode: 0, stdout: "site\n", stderr: "" },
    });
    expect((await rows()).map(({ name }) => name)).toEqual(["site"]);
  });

  test("stop: it is stopped, and goes on where it was", async () => {
    await thaw(["create", "--name", "web"]);
    await thaw(["exec", "-d", "web", "--", "sleep", "1000"]);
    for (const afterMs of [60, 200, 400]) {
      expect(await killedMeanwhile(["stop", "web"], afterMs)).toMatchObject({ exitCode: 0, stdout: "web\n" });
      expect((await rows())[0]).toMatchObject({ name: "web", state: "stopped" });
      expect((await thaw(["exec", "web", "--", "pgrep", "-a", "sleep"])).stdout).toMatch(/ sleep 1000\n/);
    }
  });

  test("run: its exit code arrives, its output once, and nothing is left", async () => {
    for (const afterMs of [100, 250, 400, 700])
      expect(await killedMeanwhile(["run", "--", "sh", "-c", "echo once; exit 7"], afterMs)).toMatchObject({
        ...{ exitCode: 7, stdout: "once\n" },
      });
    await until(async () => (await rows()).length === 0, "the sandboxes to go");
  });

  // A daemon sends output on before it has written it.
  test.each([
    ["run", ["run", "--"]],
    ["exec", ["exec", "web", "--"]],
    ["exec that masks a value", ["exec", "-e", "KEY=39999-is-a-secret", "--mask", "KEY", "web", "--"]],
    ["logs", ["logs", "-f", "web"]],
  ])("%s at each of its pieces: every byte arrives, once", async (verb, args) => {
    const lines = 40_000;
    const command = ["sh", "-c", `seq ${lines}; sleep 1; seq ${lines}; exit 7`];
    await thaw(["create", "--name", "web"]);
    await startedDaemon();
    if (verb === "logs") await thaw(["exec", "-d", "web", "--", ...command]);
    const client = execa(process.execPath, [thawBin, ...args, ...(verb === "logs" ? [] : command)], {
      env: thawEnv(),
      reject: false,
      timeout: 280_000,
    });
    let kills = 0;
    client.stdout?.on("data", () => {
      const pid = lockedNow();
      if (kills >= 6 || pid === undefined || !isAlive(pid)) return;
      kills += 1;
      process.kill(pid, "SIGKILL");
    });
    const { stdout, exitCode, stderr } = await client;
    expect(stderr).toBe("");
    expect(exitCode).toBe(verb === "logs" ? 0 : 7);
    const counted = Array.from({ length: lines }, (_, i) => `${i + 1}`).join("\n");
    expect(stdout === `${counted}\n${counted}`, `${stdout.length} characters`).toBe(true);
    expect(kills).toBeGreaterThan(1);
  });

  test("a list", async () => {
    for (const afterMs of [0, 50, 100, 150])
      expect(await killedMeanwhile(["ls", "--json"], afterMs)).toMatchObject({ exitCode: 0, stdout: "[]\n" });
  });
});

describe("Ctrl-C", () => {
  test("of exec at any moment: 130, and no command runs on", async () => {
    await thaw(["create", "--name", "web"]);
    for (const afterMs of [80, 130, 180, 230, 300, 400, 600]) {
      const client = execa(process.execPath, [thawBin, "exec", "web", "--", "sleep", `77${afterMs}`], {
        env: thawEnv(),
        reject: false,
      });
      await sleep(afterMs);
      client.kill("SIGINT");
      const { exitCode, signal } = await client;
      // Before it listens to signals it has begun nothing.
      expect(signal ?? exitCode).toSatisfy((how) => how === 130 || how === "SIGINT");
    }
    await until(async () => {
      const { stdout } = await thaw(["exec", "web", "--", "sh", "-c", "cat /proc/[0-9]*/comm || true"]);
      return !String(stdout).split("\n").includes("sleep");
    }, "the commands to end");
  });

  test("of create and fork: either it was told, or nothing is left", async () => {
    await thaw(["create", "--name", "web"]);
    let told = 0;
    for (const args of [["create"], ["fork", "web"]])
      for (const afterMs of [100, 250, 400]) {
        const client = execa(process.execPath, [thawBin, ...args], { env: thawEnv(), reject: false });
        await sleep(afterMs);
        client.kill("SIGINT");
        // It may end by the signal after it has told.
        if ((await client).stdout !== "") told += 1;
      }
    await until(async () => (await rows()).length === 1 + told, "what was begun to go");
  });
});

test("create whose answer was lost: who asks again gets it, and what nobody asks for again is removed", async () => {
  for (const name of ["lost", "again"]) expect((await thaw(["create", "--name", name])).exitCode).toBe(0);
  const pid = await daemonPid();
  expect(await askAgain("/v1/sandboxes", "first-and-last-1", { name: "told" })).toContain('"name":"told"');
  // It has answered, and comes to nothing more.
  process.kill(pid, "SIGKILL");
  const ids = new Map((await rows()).map(({ name, id }) => [name, id]));
  const recordOf = (name: string) => join(testHome(), "sandboxes", ids.get(name) ?? "", "record.json");
  const read = (name: string) => JSON.parse(readFileSync(recordOf(name), "utf8"));
  expect(["told", "lost", "again"].map((name) => read(name).request.answered)).toEqual([true, true, true]);
  await killDaemon();
  // As a daemon leaves it that is killed between the thaw and the answer.
  for (const name of ["lost", "again"]) {
    const record = read(name);
    writeFileSync(
      recordOf(name),
      JSON.stringify({ ...record, request: { ...record.request, answered: false } }),
    );
  }
  expect((await rows()).map(({ name }) => name).sort()).toEqual(["again", "lost", "told"]);
  const answer = await askAgain("/v1/sandboxes", read("again").request.id, { name: "again" });
  expect(answer).toContain(`"id":"${ids.get("again")}"`);
  await until(async () => !(await rows()).some(({ name }) => name === "lost"), "it to be removed");
  expect((await rows()).map(({ name }) => name).sort()).toEqual(["again", "told"]);
});

/** Sends a request with the id of an earlier one. */
async function askAgain(path: string, id: string, body: unknown): Promise<string> {
  const { socket } = JSON.parse(readFileSync(lock(), "utf8"));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { "content-type": "application/json", "thaw-request": id };
  const outgoing = request({ socketPath: socket, method: "POST", path, headers }, (answer) =>
    text(answer).then(resolve, reject),
  );
  outgoing.once("error", reject).end(JSON.stringify(body));
  return promise;
}

test("a stopped daemon with a live run: the next command is served, and the run goes on", async () => {
  const live = thaw(["run", "--", "sh", "-c", "for i in $(seq 40); do echo $i; sleep 0.1; done"]);
  await until(async () => (await rows()).some(({ state }) => state === "running"), "the run to start");
  const before = await daemonPid();
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  expect((await thaw(["run", "--", "echo", "second"])).stdout).toBe("second\n");
  expect(await daemonPid()).not.toBe(before);
  const { exitCode, stdout } = await live;
  expect([exitCode, String(stdout).trim().split("\n").length]).toEqual([0, 40]);
});

test("an abstract socket of another user's is no lock", async () => {
  await thaw(["daemon", "stop"]);
  const hash = createHash("sha256").update(testHome()).digest("hex").slice(0, 32);
  const squatter = createServer().listen({ path: `\0thaw-${hash}` });
  try {
    expect((await thaw(["ls"])).exitCode).toBe(0);
  } finally {
    squatter.close();
  }
});

test("a second daemon for the same state folder: its client is told who holds it", async () => {
  await thaw(["ls"]);
  const elsewhere = { env: { ...thawEnv(), THAW_SOCKET: `/tmp/thaw-other-${process.pid}.sock` } };
  const { exitCode, stderr } = await thaw(["ls"], elsewhere);
  expect(exitCode).toBe(125);
  expect(String(stderr)).toContain(`a daemon (process id ${lockedBy()}) uses ${testHome()}`);
});

test("the newest build wins: it replaces an older daemon once, and no older client brings that back", async () => {
  const newer = mkdtempSync("/tmp/thaw-newer-");
  const digest = "0123456789abcdef";
  try {
    cpSync("dist", newer, { recursive: true });
    const version = JSON.parse(readFileSync("dist/version.json", "utf8")) as { built: number };
    const changed = { ...version, digest, built: version.built + 1 };
    writeFileSync(join(newer, "version.json"), JSON.stringify(changed));
    const byNewer = (...args: string[]) =>
      execa(process.execPath, [join(newer, "thaw.mjs"), ...args], { env: thawEnv(), reject: false });
    const older = await thawJson<{ digest: string }>(["daemon", "status"]);
    expect(older.digest).not.toBe(digest);
    const since = (await thaw(["events", "--json"])).stdout;
    const all = await Promise.all([
      ...[byNewer("ls"), byNewer("ls"), byNewer("run", "--", "true"), byNewer("ls")],
      ...[thaw(["ls"]), thaw(["run", "--", "true"]), thaw(["ls"])],
    ]);
    expect(all.map(({ exitCode, stderr }) => [exitCode, String(stderr)])).toEqual(all.map(() => [0, ""]));
    const starts = (text: unknown) => String(text).split('"daemon.started"').length - 1;
    expect(starts((await thaw(["events", "--json"])).stdout) - starts(since)).toBe(1);
    await killDaemon();
    // The older client starts the newest build there is.
    expect(await thawJson(["daemon", "start"])).toMatchObject({ digest });
  } finally {
    await thaw(["daemon", "stop"]);
    for (const path of [newer, join(testHome(), "versions", digest)])
      rmSync(path, { recursive: true, force: true });
  }
});
