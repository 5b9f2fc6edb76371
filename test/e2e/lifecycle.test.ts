/** What sandboxes do by themselves, and what happens when several people ask for different things at once. */
import { rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { parseEvents } from "../../client/events.ts";
import type { StatsSample } from "../../client/index.ts";
import { capabilities } from "../helpers/capabilities.ts";
import { testHome } from "../helpers/test-home.ts";
import {
  killDaemon,
  machineProcesses,
  type SandboxRow,
  thaw,
  thawBin,
  thawEnv,
  thawJson,
  until,
} from "../helpers/thaw.ts";

const { ownKernel } = capabilities;

interface Row extends SandboxRow {
  next: { action: string; at: string } | null;
  labels: Record<string, string>;
  execs: { id: string; state: string }[];
}
interface EventRow {
  id: number;
  type: string;
  name: string;
  target: string;
}

afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});
beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});

const rows = () => thawJson<Row[]>(["ls"]);
const row = async (name: string) => (await rows()).find((one) => one.name === name);
const stateOf = async (name: string) => (await row(name))?.state ?? "gone";

async function create(name: string, ...flags: string[]): Promise<void> {
  const { exitCode, stderr } = await thaw(["create", "--name", name, ...flags]);
  expect(exitCode, String(stderr)).toBe(0);
}

async function events(...args: string[]): Promise<EventRow[]> {
  const { stdout } = await thaw(["events", "--json", ...args]);
  return String(stdout)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

async function lastEvent(): Promise<number> {
  return (await events()).at(-1)?.id ?? 0;
}

describe("a paused sandbox", () => {
  test("is woken by an exec and by files; refused verbs say what is allowed", async () => {
    await create("sleepy");
    await thaw(["pause", "sleepy"]);
    const again = await thaw(["pause", "sleepy"]);
    expect(again.exitCode).toBe(125);
    expect(again.stderr).toMatch(/it is paused; paused allows: exec, files, resume/);
    expect((await thaw(["exec", "sleepy", "--", "echo", "awake"])).stdout).toBe("awake\n");
    expect(await stateOf("sleepy")).toBe("running");
    await thaw(["pause", "sleepy"]);
    const { socket } = await thawJson<{ socket: string }>(["daemon", "status"]);
    const { stdout } = await execa("curl", [
      ...["-s", "--unix-socket", socket],
      "http://thaw/v1/sandboxes/sleepy/files?path=/etc/hostname",
    ]);
    expect(stdout).toBe("sleepy");
    await thaw(["pause", "sleepy"]);
    const together = await Promise.all(
      [1, 2, 3].map((n) => thaw(["exec", "sleepy", "--", "echo", String(n)])),
    );
    expect(together.map((one) => one.stdout)).toEqual(["1\n", "2\n", "3\n"]);
    expect((await thaw(["resume", "sleepy"])).stderr).toMatch(/it is running; running allows: exec/);
  });
});

describe("timers", () => {
  test("idle: paused when nothing is done; not while it works or a client is there", async () => {
    await create("worker", "--idle", "3s");
    await thaw(["exec", "-d", "worker", "--", "sh", "-c", "while [ ! -e /tmp/stop ]; do :; done"]);
    await create("sleeper", "--idle", "3s");
    await thaw(["exec", "-d", "sleeper", "--", "sleep", "600"]);
    await until(async () => (await stateOf("sleeper")) === "paused", "the idle one to be paused");
    expect((await row("sleeper"))?.reason).toBe("idle for 3 s");
    expect(await stateOf("worker")).toBe("running");
    // a client that is attached, though nothing is done
    expect((await thaw(["exec", "sleeper", "--", "sleep", "6"])).exitCode).toBe(0);
    await thaw(["exec", "worker", "--", "touch", "/tmp/stop"]);
    await until(async () => (await stateOf("worker")) === "paused", "the worker to be paused");
    const audit = await execa("cat", [join(testHome(), "audit.jsonl")]);
    expect(audit.stdout).toMatch(/"verb":"pause","target":"worker","by":\{"from":"daemon"/);
    expect(audit.stdout).toMatch(
      /"verb":"create","target":"worker","by":\{"from":"socket","uid":\d+,"pid":\d+/,
    );
  });

  test("a hard end removes it, also when the daemon was killed; extended, it lives on", async () => {
    await create("extended", "--ttl", "60s");
    expect((await thaw(["extend", "extended", "1h"])).stdout).toMatch(/extended ends in (1h|59m|60m)/);
    await create("short", "--ttl", "25s");
    const [short, table] = await Promise.all([row("short"), thaw(["ls"])]);
    expect(short?.next?.action).toBe("remove");
    expect(table.stdout).toMatch(/short .* ends in \d+s/);
    await killDaemon();
    await until(async () => (await stateOf("short")) === "gone", "its end");
    expect(await stateOf("extended")).toBe("running");
    await until(async () => (await machineProcesses(short?.id ?? "")).length === 0, "its machine's end");
    const gone = await thaw(["extend", "short", "1h"]);
    expect(gone.exitCode).toBe(2);
    await create("endless");
    expect((await thaw(["extend", "endless", "1h"])).stderr).toMatch(/no time to live/);
  });

  test("a run whose time is up ends with 124 and says why", async () => {
    const { exitCode, stderr } = await thaw(["run", "--ttl", "15s", "--", "sleep", "600"]);
    expect(exitCode).toBe(124);
    expect(stderr).toMatch(/its time was up \(--ttl\)/);
  });

  test.skipIf(!ownKernel)("what is over is removed after a while", async () => {
    await create("over", "--remove-after", "2s");
    await create("stays");
    for (const name of ["over", "stays"])
      await thaw(["exec", "-d", name, "--", "sh", "-c", "echo o > /proc/sysrq-trigger"]);
    const waited = await thaw(["wait", "stays", "--timeout", "240s"]);
    expect([waited.exitCode, waited.stdout]).toEqual([0, expect.stringMatching(/^stopped/)]);
    await until(async () => (await stateOf("over")) === "gone", "its removal");
    expect(await stateOf("stays")).toBe("stopped");
  });
});

describe("events", () => {
  test("are replayed after the daemon was killed; ids go on; a follower misses none", async () => {
    const before = await lastEvent();
    const follower = execa(
      process.execPath,
      [thawBin, "events", "--follow", "--since", String(before), "--json"],
      {
        env: thawEnv(),
        reject: false,
        buffer: false,
      },
    );
    const seen: EventRow[] = [];
    const reading = (async () => {
      for await (const line of follower) seen.push(JSON.parse(String(line)));
    })();
    await create("told");
    await thaw(["exec", "told", "--", "true"]);
    await killDaemon();
    await thaw(["pause", "told"]);
    await thaw(["rm", "told"]);
    await until(() => seen.some(({ type }) => type === "sandbox.removed"), "the follower to hear of it");
    follower.kill("SIGTERM");
    await reading.catch(() => {});
    const all = await events("--since", String(before));
    expect(seen).toEqual(all.slice(0, seen.length));
    expect(all.map(({ id }) => id)).toEqual(all.map((_, i) => before + 1 + i));
    expect(all.map(({ type }) => type)).toEqual([
      ...["sandbox.creating", "sandbox.running", "exec.started", "exec.ended"],
      ...["daemon.started", "sandbox.paused", "sandbox.removed"],
    ]);
    const own = await events("told", "--since", String(before));
    expect(own.map(({ type }) => type)).not.toContain("daemon.started");
    expect(own).toHaveLength(6);
  });

  test("of a snapshot: it was made, it was named, and what names it already says nothing; it was removed", async () => {
    await create("kept");
    const before = await lastEvent();
    const told = async (...args: string[]): Promise<void> =>
      expect(await thaw(args), args.join(" ")).toMatchObject({ exitCode: 0 });
    await told("freeze", "kept", "told:1");
    await told("snapshot", "tag", "told:1", "told:2");
    await told("snapshot", "tag", "told:1", "told:2");
    await told("template", "build", "base");
    await told("snapshot", "rm", "told:1", "told:2");
    const ofSnapshots = (await events("--since", String(before))).filter(({ type }) =>
      type.startsWith("snapshot."),
    );
    expect(ofSnapshots.map(({ type }) => type)).toEqual([
      ...["snapshot.created", "snapshot.tagged", "snapshot.tagged", "snapshot.removed"],
    ]);
    expect(new Set(ofSnapshots.map(({ target }) => target)).size).toBe(1);
    await told("rm", "kept");
  });

  test("a hundred listeners hear everything, one that does not listen is let be", async () => {
    const { socket } = await thawJson<{ socket: string }>(["daemon", "status"]);
    const since = await lastEvent();
    const abort = new AbortController();
    const ask = (): Promise<AsyncIterable<Uint8Array>> =>
      new Promise((resolve, reject) => {
        const asked = request({
          ...{ socketPath: socket, path: "/v1/events", signal: abort.signal },
          headers: { "last-event-id": String(since) },
        });
        asked.on("response", resolve).on("error", reject).end();
      });
    const heard = Array.from({ length: 100 }, () => [] as string[]);
    const listening = heard.map(async (types) => {
      for await (const { type, data } of parseEvents(await ask())) if (data !== "") types.push(type);
    });
    await ask();
    await create("loud");
    await thaw(["rm", "loud"]);
    await until(() => heard.every((types) => types.includes("sandbox.removed")), "all to hear of it");
    abort.abort();
    await Promise.allSettled(listening);
    for (const types of heard)
      expect(types).toEqual(["sandbox.creating", "sandbox.running", "sandbox.removed"]);
    expect((await thaw(["daemon", "status"])).exitCode).toBe(0);
  });
});

describe("several people at once", () => {
  test("two who remove the same: it goes once, neither gets a failure of ours", async () => {
    await create("shared");
    const before = await lastEvent();
    const both = await Promise.all([1, 2, 3].map(() => thaw(["rm", "shared"])));
    for (const { exitCode, stderr } of both) {
      expect([0, 2], String(stderr)).toContain(exitCode);
      if (exitCode === 2) expect(stderr).toMatch(/no sandbox shared/);
    }
    expect(both.some(({ exitCode }) => exitCode === 0)).toBe(true);
    const removals = (await events("--since", String(before))).filter(
      ({ type }) => type === "sandbox.removed",
    );
    expect(removals).toHaveLength(1);
  });

  test("verbs on a sandbox that goes away under them", async () => {
    await create("dying");
    const asked = [
      thaw(["exec", "dying", "--", "sleep", "60"]),
      thaw(["wait", "dying", "--for", "removed"]),
      thaw(["rm", "dying"]),
      thaw(["pause", "dying"]),
      thaw(["exec", "dying", "--", "true"]),
      thaw(["stats", "dying"]),
      thaw(["extend", "dying", "1h"]),
    ];
    for (const { stderr, exitCode } of await Promise.all(asked)) {
      expect(String(stderr)).not.toMatch(/internal|undefined|TypeError|socket hang up/);
      expect([0, 2, 125, 130], String(stderr)).toContain(exitCode);
    }
    expect(await rows()).toEqual([]);
  });

  test.skipIf(!ownKernel)("an exec in a sandbox whose kernel dies says so", async () => {
    await create("doomed");
    const held = thaw(["exec", "doomed", "--", "sleep", "60"]);
    await until(async () => (await row("doomed"))?.execs[0]?.state === "running", "the command to run");
    await thaw(["exec", "-d", "doomed", "--", "sh", "-c", "echo c > /proc/sysrq-trigger"]);
    expect((await held).exitCode).toBe(125);
    expect((await held).stderr).toMatch(/is failed: the guest's kernel panicked/);
    const refused = await thaw(["exec", "doomed", "--", "true"]);
    expect(refused.stderr).toMatch(
      /can't exec sandbox doomed: it is failed \(.*panicked.*failed allows: extend, rm/,
    );
    expect(refused.stderr).toMatch(/hint: thaw rm doomed/);
  });

  test("one that is removed while it is made", async () => {
    const making = thaw(["create", "--name", "early"]);
    await until(async () => (await stateOf("early")) !== "gone", "it to begin");
    const { exitCode } = await thaw(["rm", "early"]);
    const made = await making;
    expect(exitCode).toBe(0);
    if (made.exitCode !== 0) expect(made.stderr).toMatch(/removed during its creation/);
    expect(await rows()).toEqual([]);
    await create("early");
  });
});

test("a sandbox's processes are told while it runs, and asking does not wake it", async () => {
  await thaw(["create", "--name", "busy"]);
  expect((await thaw(["exec", "-d", "busy", "--", "sleep", "987"])).exitCode).toBe(0);
  await until(
    async () => /^ *\d+ +\d+ +0 +S +– +sleep 987$/m.test(String((await thaw(["top", "busy"])).stdout)),
    "the command to be among them",
  );
  expect((await thaw(["pause", "busy"])).exitCode).toBe(0);
  expect(await thawJson(["top", "busy"])).toEqual({ processes: [], listening: [] });
  expect((await thawJson<SandboxRow[]>(["ls"])).find(({ name }) => name === "busy")?.state).toBe("paused");
  expect((await thaw(["top", "nobody"])).exitCode).toBe(2);
  await thaw(["rm", "busy"]);
});

test("labels choose; wait answers with an exec's exit code", async () => {
  await create("one", "--label", "repo=shop", "--label", "pr=1");
  await create("two", "--label", "repo=shop");
  const chosen = await thawJson<Row[]>(["ls", "--label", "repo=shop", "--label", "pr"]);
  expect(chosen.map(({ name }) => name)).toEqual(["one"]);
  const stats = await thawJson<{ name: string; pssBytes: number; cpuPercent: number }[]>(["stats"]);
  expect(stats.map(({ name }) => name).sort()).toEqual(["one", "two"]);
  expect(stats.every(({ pssBytes, cpuPercent }) => pssBytes > 1e6 && cpuPercent >= 0)).toBe(true);
  const sample = await thawJson<StatsSample>(["top"]);
  expect(sample.sandboxes.map(({ name }) => name).sort()).toEqual(["one", "two"]);
  expect(sample.sandboxes.every(({ cpuPercent }) => cpuPercent !== null)).toBe(true);
  expect(sample.host.memoryMib).toBeGreaterThan(0);
  const table = await thaw(["top", "--sort", "name"]);
  expect(table.stdout).toMatch(/^2 sandboxes: .* available\nNAME .*\none +running +\d+% .*\ntwo .*\n$/);
  expect((await thaw(["top", "one", "--sort", "name"])).exitCode).toBe(2);
  await thaw(["exec", "-d", "two", "--", "sh", "-c", "sleep 1; exit 7"]);
  const exec = (await row("two"))?.execs.at(-1)?.id ?? "";
  expect((await thaw(["wait", "two", exec, "--for", "exec"])).exitCode).toBe(7);
  expect((await thaw(["wait", "two", "--timeout", "300ms"])).exitCode).toBe(124);
  expect((await thaw(["rm", "--label", "repo=shop"])).exitCode).toBe(0);
  expect(await rows()).toEqual([]);
});

test("a full host refuses with the figures, or lets wait in line", async () => {
  const config = join(testHome(), "config.yaml");
  try {
    writeFileSync(config, "limits: { sandboxes: 1 }\ndefaults: { ttl: 1h }\n");
    await create("only");
    expect((await row("only"))?.next?.action).toBe("remove");
    const refused = await thaw(["create", "--name", "more"]);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toMatch(/no room for sandbox more: 1 of 1 sandboxes are there/);
    const waiting = thaw(["create", "--name", "patient", "--wait", "5m"]);
    let told = "";
    waiting.stderr?.on("data", (text) => {
      told += text;
    });
    await until(() => told.includes("in line"), "it to wait in line");
    await thaw(["rm", "only"]);
    const { exitCode, stderr } = await waiting;
    expect(exitCode, String(stderr)).toBe(0);
    expect(stderr).toMatch(/patient {2}number 1 in line: 1 of 1 sandboxes/);
  } finally {
    rmSync(config, { force: true });
    await thaw(["rm", "--all"]);
    await thaw(["daemon", "stop"]);
  }
});

test("a sandbox is run detached, looked at, renamed, stopped, started, and its command killed", async () => {
  const since = await lastEvent();
  const made = await thaw(["run", "-d", "--name", "job", "--", "sh", "-c", "echo begun; exec sleep 1000"]);
  expect([made.exitCode, made.stdout]).toEqual([0, "job\n"]);
  const { id } = (await row("job")) as Row;
  expect((await thaw(["rename", "job", "site"])).stdout).toBe("site\n");
  await create("job");
  expect((await thaw(["rename", "job", "site"])).exitCode).toBe(125);
  expect((await thaw(["ls", "-q", "--filter", "name=site"])).stdout).toBe(`${id}\n`);
  expect((await thaw(["inspect", "-f", "{{.name}} {{.state}}", "site"])).stdout).toBe("site running\n");
  expect((await events("--since", String(since))).map(({ type }) => type)).toContain("sandbox.renamed");

  expect((await thaw(["stop", "site", "site"])).exitCode).toBe(0);
  expect((await row("site"))?.state).toBe("stopped");
  await killDaemon();
  expect((await thaw(["start", "site", "site"])).exitCode).toBe(0);
  const { execs, processes } = await thawJson<{ execs: { id: string }[]; processes: { command: string }[] }>([
    ...["ps", "site"],
  ]);
  expect(processes.map(({ command }) => command)).toContain("sleep 1000");
  expect((await thaw(["kill", "site"])).stdout).toBe(`${execs[0]?.id}\n`);
  await until(async () => (await row("site"))?.execs[0]?.state !== "running", "the command's end");
  expect((await thaw(["kill", "site"])).exitCode).toBe(125);
  expect((await thaw(["logs", "site"])).stdout).toBe("begun\n");
  expect((await thaw(["run", "-d", "--name", "none", "--", "nope"])).exitCode).toBe(127);
  expect(await stateOf("none")).toBe("gone");
});
