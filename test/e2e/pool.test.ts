/** Machines that are ready before anybody asks: what a claim gets, and what can happen to a spare. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Pool, SandboxInfo } from "../../client/index.ts";
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

const configPath = join(testHome(), "config.yaml");

const run = async (...args: string[]): Promise<string> => {
  const { stdout, stderr, exitCode } = await thaw(args);
  expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
  return String(stdout);
};
const inside = (sandbox: string, script: string) => run("exec", sandbox, "--", "sh", "-c", script);
const pools = () => thawJson<Pool[]>(["pool", "ls"]);
const poolOf = async (name: string): Promise<Pool | undefined> =>
  (await pools()).find((one) => one.name === name);
const setPool = (name: string, size: number) => run("config", "set", `pool.${name}`, String(size));

/** @param size default: as many as there should be */
async function ready(name: string, size?: number): Promise<void> {
  const isReady = async () => {
    const pool = await poolOf(name);
    return pool !== undefined && pool.ready === (size ?? pool.size);
  };
  await until(isReady, `${size ?? "all"} spares of ${name}`);
}

const seen = new Set<string>();

/** Ids of sandboxes and spares that have a machine: of all whose folders were there when this was called. */
async function machines(): Promise<string[]> {
  for (const id of readdirSync(join(testHome(), "sandboxes"))) if (!id.startsWith(".")) seen.add(id);
  const ids = await Promise.all(
    [...seen].map(async (id) => ((await machineProcesses(id)).length > 0 ? [id] : [])),
  );
  return ids.flat();
}

beforeAll(async () => {
  await run("template", "build", "base");
});

beforeEach(async () => {
  rmSync(configPath, { force: true });
  await run("rm", "--all", "--force");
  await run("config", "set", "pool", "off");
  await until(async () => (await pools()).length === 0, "no pools");
});

afterAll(async () => {
  rmSync(configPath, { force: true });
  await run("config", "set", "pool", "off");
  rmSync(configPath, { force: true });
});

test("run claims a spare; nobody sees one; it is made again", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
  const before = await poolOf("base");
  expect(await run("run", "--", "echo", "hello")).toBe("hello\n");
  await ready("base", 1);
  const after = await poolOf("base");
  expect([after?.hits, after?.misses]).toEqual([(before?.hits ?? 0) + 1, before?.misses]);
  expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
});

/** What is the same in every sandbox of one snapshot, read inside. */
const ALIKE = [
  "id; umask; pwd; env | grep -v '^HOSTNAME=' | sort; ulimit -a",
  "find / /run /dev /tmp -xdev ! -path '/proc*' ! -type d -printf '%M %U %G %s %p\\n' | sort; cat /proc/mounts",
  "find / /run /dev /tmp -xdev ! -path '/proc*' -type d -printf '%M %U %G %p\\n' | sort",
  "ps -eo comm,args --no-headers | grep -v '^ps\\|^sh\\|^kworker\\|^sort\\|^grep' | sort",
  "cat /proc/net/route; ls /sys/class/net; cat /proc/cmdline; df --output=source,size",
];

/** Once its timers have seen that it is idle. */
async function idle(name: string): Promise<SandboxInfo> {
  let found: SandboxInfo | undefined;
  await until(async () => {
    found = (await thawJson<SandboxInfo[]>(["ls"])).find((one) => one.name === name);
    return found?.next?.action === "pause";
  }, `${name} to be idle`);
  return found as SandboxInfo;
}

async function shapeOf(name: string): Promise<object> {
  const found = (await thawJson<SandboxInfo[]>(["ls"])).find((one) => one.name === name);
  const { id, createdAt, thawMs, expiresAt, ports, next, ...rest } = found as SandboxInfo;
  return { ...rest, name: "", ports: ports.length, next: next?.action };
}

test("a claimed sandbox is as a fresh one, item by item", async () => {
  const create = (name: string) =>
    run(
      ...["create", "--name", name, "--label", "team=x", "--ttl", "1h", "--allow"],
      ...["example.com:443", "-p", "0:80"],
    );
  await create("first-1");
  await setPool("base", 1);
  await ready("base", 1);
  await create("claim-1");
  expect((await poolOf("base"))?.hits).toBe(1);

  const [fresh, claimed] = await Promise.all(["first-1", "claim-1"].map(shapeOf));
  expect(claimed).toEqual(fresh);
  expect(await run("network", "show", "claim-1", "--json")).toBe(
    await run("network", "show", "first-1", "--json"),
  );

  for (const script of ALIKE) expect(await inside("claim-1", script)).toBe(await inside("first-1", script));
  expect((await inside("claim-1", "hostname; cat /etc/hostname")).split("\n")).toEqual([
    "claim-1",
    "claim-1",
    "",
  ]);
  const sinceMs = Date.now();
  expect(secondsOff(Number(await inside("claim-1", "date +%s")), sinceMs)).toBeLessThan(3);
  for (const own of [
    "cat /etc/machine-id",
    "cat /proc/sys/kernel/random/boot_id",
    "head -c 32 /dev/urandom | sha256sum",
  ])
    expect(await inside("claim-1", own)).not.toBe(await inside("first-1", own));
});

test("two that claim at once get two machines, unlike each other", async () => {
  await setPool("base", 2);
  await ready("base", 2);
  await Promise.all(["one", "two"].map((name) => run("create", "--name", name)));
  expect((await poolOf("base"))?.hits).toBe(2);
  for (const own of ["cat /etc/machine-id", "head -c 32 /dev/urandom | sha256sum"])
    expect(await inside("one", own)).not.toBe(await inside("two", own));
  await inside("one", "echo one > /root/mine");
  expect(await inside("two", "ls /root")).toBe("");
});

test("the time in the pool does not count as idle", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  const { oldestAt } = (await poolOf("base")) ?? {};
  await until(() => Date.now() - Date.parse(oldestAt ?? "") > 4_000, "a spare of four seconds");
  const since = Date.now();
  await run("create", "--name", "idler", "--idle", "60s");
  const { state, next } = await idle("idler");
  expect(state).toBe("running");
  expect(Date.parse(next?.at ?? "")).toBeGreaterThan(since + 59_000);
});

test("secret values are hidden in a claimed sandbox, too", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  await run("create", "--name", "teller");
  const { stdout, exitCode } = await thaw([
    "exec",
    "-e",
    "KEY=hunter22hunter",
    "--mask",
    "KEY",
    "teller",
    "--",
    "sh",
    "-c",
    "echo $KEY",
  ]);
  expect([exitCode, stdout]).toEqual([0, "**************\n"]);
});

test("a spare whose machine has ended is replaced; one that is claimed just then is no failure", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  const [id = ""] = await machines();
  for (const pid of await machineProcesses(id)) process.kill(pid, "SIGKILL");
  expect(await run("run", "--", "echo", "hello")).toBe("hello\n");
  await ready("base", 1);
  expect(await machines()).not.toContain(id);
});

test("spares end with a daemon that stops, and with one that is killed; none is claimed twice", async () => {
  await setPool("base", 2);
  await ready("base", 2);
  await until(async () => (await machines()).length === 2, "the spares' machines alone");
  await run("create", "--name", "kept");
  const id = await inside("kept", "cat /etc/machine-id");
  await killDaemon();
  await ready("base", 2);
  await until(async () => (await machines()).length === 3, "the kept one's machine and two spares");
  await Promise.all(["next", "last"].map((name) => run("create", "--name", name)));
  for (const name of ["next", "last"]) expect(await inside(name, "cat /etc/machine-id")).not.toBe(id);
  expect(await inside("kept", "cat /etc/machine-id")).toBe(id);
  await run("rm", "kept", "next", "last");
  await run("daemon", "stop");
  expect(await machines()).toEqual([]);
});

test("runs go on when the daemon is killed in the middle of claims, and nothing is left of them", async () => {
  await setPool("base", 2);
  for (const delayMs of [20, 60, 110, 170, 240, 320]) {
    await ready("base", 2);
    const going = thaw(["run", "--", "sh", "-c", "echo done"]);
    await new Promise((resolve) => setTimeout(resolve, delayMs + 150));
    await killDaemon();
    const { stdout, stderr, exitCode } = await going;
    expect([exitCode, stdout], String(stderr)).toEqual([0, "done\n"]);
  }
  await until(async () => (await thawJson<SandboxRow[]>(["ls"])).length === 0, "no sandbox left");
  await ready("base", 2);
  await until(async () => (await machines()).length === 2, "the spares' machines alone");
});

test("a tag that moved is never served by spares of what it named before", async () => {
  await run("create", "--name", "maker");
  await inside("maker", "echo first > /root/version");
  await run("freeze", "maker", "moving");
  await setPool("moving", 1);
  await ready("moving", 1);
  expect(await run("run", "--snapshot", "moving", "--", "cat", "/root/version")).toBe("first\n");
  await ready("moving", 1);
  await inside("maker", "echo second > /root/version");
  const old = (await poolOf("moving"))?.snapshot;
  await run("freeze", "maker", "moving");
  expect(await run("run", "--snapshot", "moving", "--", "cat", "/root/version")).toBe("second\n");
  await until(async () => (await poolOf("moving"))?.snapshot !== old, "the pool to follow its tag");
  const hits = (await poolOf("moving"))?.hits ?? 0;
  await ready("moving", 1);
  expect(await run("run", "--snapshot", "moving", "--", "cat", "/root/version")).toBe("second\n");
  expect((await poolOf("moving"))?.hits).toBe(hits + 1);
});

test("a pool that can't start says why, is tried again, and holds up no other", async () => {
  await setPool("nowhere", 1);
  await setPool("base", 1);
  await ready("base", 1);
  await until(async () => (await poolOf("nowhere"))?.problem !== null, "a problem of pool nowhere");
  const { stdout, stderr } = await thaw(["pool", "ls"]);
  expect(String(stdout)).toMatch(/^nowhere +0\/1/m);
  expect(String(stderr)).toMatch(/pool nowhere: no snapshot nowhere/);
  expect(await run("doctor")).toMatch(/pool nowhere has 0 of 1 spares: no snapshot nowhere/);
});

test("spares give way to sandboxes, and do not take the room of any", async () => {
  writeFileSync(configPath, "limits: { sandboxes: 2 }\n");
  await setPool("base", 8);
  await until(async () => (await poolOf("base"))?.ready === 2, "as many spares as there is room for");
  await run("create", "--name", "one", "--memory", "128M");
  await run("create", "--name", "two");
  const { exitCode, stderr } = await thaw(["create", "--name", "three"]);
  expect([exitCode, String(stderr)]).toEqual([125, expect.stringMatching(/2 of 2 sandboxes are there/)]);
  expect((await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name).sort()).toEqual(["one", "two"]);
  expect((await poolOf("base"))?.problem).not.toBeNull();
});

test("a sandbox that is too large is refused, with a spare of its size ready; its name stays free", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  const limits = "limits: { sandbox: { memory: 128M } }\n";
  writeFileSync(configPath, `${limits}pool: { base: 1 }\n`);
  const create = () => thaw(["create", "--name", "large"]);
  for (const { exitCode, stderr } of [await create(), await create()])
    expect([exitCode, String(stderr)]).toEqual([
      125,
      expect.stringMatching(/no room for sandbox large: 256 MiB asked for/),
    ]);
  expect((await poolOf("base"))?.hits).toBe(0);
  // A pool of such machines says so, and nothing is made for it.
  const before = (await thawJson<unknown[]>(["snapshot", "ls"])).length;
  writeFileSync(configPath, "limits: { sandbox: { cpus: 2 } }\npool: { base: { size: 1, cpus: 3 } }\n");
  await until(
    async () => (await poolOf("base"))?.problem?.includes("3 cpus asked for") === true,
    "a problem",
  );
  expect(await thawJson(["snapshot", "ls"])).toHaveLength(before);
});

test("pools by use: what was run has a spare, and is claimed the next time", async () => {
  await run("config", "set", "pool", "auto");
  await run("run", "--", "true");
  await ready("base");
  await run("run", "--", "true");
  await ready("base");
  expect(await poolOf("base")).toMatchObject({ hits: 1, misses: 1, size: expect.any(Number) });
});

test("pools of other resources; what else the file says stays; what it can't say is refused", async () => {
  writeFileSync(
    configPath,
    "# mine\nlimits: { sandboxes: 40 } # forty\npool:\n  base: { size: 1, memory: 128M }\n",
  );
  await ready("base", 1);
  await run("run", "--memory", "128M", "--", "true");
  await run("run", "--", "true");
  expect(await poolOf("base")).toMatchObject({ hits: 1, misses: 0, memoryMib: 128 });
  await setPool("base", 2);
  expect(readFileSync(configPath, "utf8")).toMatch(/^# mine\nlimits: .*# forty\n/);
  expect(await poolOf("base")).toMatchObject({ size: 2, memoryMib: 128 });
  for (const [key, value, says] of [
    ["pool.base", "many", /a number of machines from 0 to 64/],
    ["pool.base", "65", /a number of machines from 0 to 64/],
    ["pool.a b", "1", /NAME or NAME:VERSION/],
    ["pool", "on", /auto or off/],
    ["limits.memory", "1G", /can't be set by this command/],
  ] as const) {
    const { exitCode, stderr } = await thaw(["config", "set", key, value]);
    expect([exitCode, String(stderr)]).toEqual([2, expect.stringMatching(says)]);
  }
  writeFileSync(configPath, "limits: { sandboxes: none }\n");
  const { exitCode, stderr } = await thaw(["config", "set", "pool.base", "1"]);
  expect([exitCode, String(stderr)]).toEqual([125, expect.stringMatching(/config.yaml:1:/)]);
  expect(readFileSync(configPath, "utf8")).toBe("limits: { sandboxes: none }\n");
});

test("onThaw commands run when a machine is claimed, under its sandbox's name", async () => {
  const base = readFileSync("templates/base/template.yaml", "utf8");
  const file = join(testHome(), "greeter.yaml");
  writeFileSync(
    file,
    `${base.replace(/^(name|tag): base.*$/gm, "$1: greeter")}\nonThaw:\n  - hostname >> /root/who\n`,
  );
  await run("template", "build", file);
  await setPool("greeter", 1);
  await ready("greeter", 1);
  await run("create", "--template", file, "--name", "greeted");
  expect(await inside("greeted", "cat /root/who")).toBe("greeted\n");
  expect((await poolOf("greeter"))?.hits).toBe(1);
  await run("rm", "greeted");
  await run("config", "set", "pool", "off");
  await run("snapshot", "rm", "greeter");
});

test("a run from a pool is captured when it fails, replayed and rerun", async () => {
  await setPool("base", 1);
  await ready("base", 1);
  const script = "echo seen > /root/seen; exit 3";
  const failed = await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", script]);
  expect(failed.exitCode, String(failed.stderr)).toBe(3);
  await ready("base", 1);
  const hits = (await poolOf("base"))?.hits ?? 0;
  expect(hits).toBe(1);
  expect(await run("replay", "latest", "--", "cat", "/root/seen")).toBe("seen\n");
  const { stdout } = await thaw(["rerun", "latest", "-n", "2", "--json"]);
  expect(JSON.parse(String(stdout))).toMatchObject({ failed: 2, verdict: "broken" });
  expect((await poolOf("base"))?.hits).toBeGreaterThan(hits);
});
