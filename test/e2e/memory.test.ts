/** Memory that runs out: machines in a cgroup that is too small for what their guests write. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Pool } from "../../client/index.ts";
import { cantLimit, type LimitedHome, limitedHome } from "../helpers/limited-home.ts";
import { isAlive, type SandboxRow, standStill, thaw, until } from "../helpers/thaw.ts";

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});

const CONFIG = "limits: { reserveMemory: 160M, overcommit: 1000 }\n";
/** Memory of the guest: files of a tmpfs, of 5 MiB each. @param pause between them, in seconds */
const dirty = (mib: number, pause = "0") => [
  "sh",
  "-c",
  `mount -o remount,size=90% /dev/shm; for i in $(seq ${mib / 5}); do dd if=/dev/zero of=/dev/shm/$i bs=5M count=1 2>/dev/null; sleep ${pause}; done`,
];

async function withSandboxes(home: LimitedHome, names: readonly string[]) {
  for (const name of names) expect((await home.thaw("create", "--name", name)).exitCode).toBe(0);
  const rows = () => home.json<SandboxRow[]>("ls");
  const find = async (name: string) => (await rows()).find((row) => row.name === name) as SandboxRow;
  const { pid } = await home.json<{ pid: number }>("daemon", "status");
  return { rows, find, pid };
}

const skipped = cantLimit === null ? "" : ` (skipped: ${cantLimit})`;
describe.skipIf(cantLimit !== null)(`when memory runs out${skipped}`, () => {
  test("idle sandboxes are paused and frozen for it, never a busy one; nothing is killed; they go on when there is room", async () => {
    await using home = await limitedHome(CONFIG);
    const { rows, find, pid } = await withSandboxes(home, ["first", "second", "busy"]);
    for (const name of ["first", "second"]) {
      const said = await home.thaw("exec", name, "--", ...dirty(50));
      expect([said.exitCode, said.stderr]).toEqual([0, ""]);
    }
    // After its command it is still not idle.
    expect((await home.thaw("exec", "-d", "busy", "--", "sleep", "600")).exitCode).toBe(0);
    // Paused when less than 80 MiB are left.
    await home.limit(140);
    const said = await home.thaw("exec", "busy", "--", ...dirty(110, "0.4"));
    expect([said.exitCode, said.stderr]).toEqual([0, ""]);
    // The longest idle first.
    await until(async () => (await find("first")).state === "stopped", "the first to be frozen");
    for (const { reason } of (await rows()).filter(({ state }) => state === "stopped"))
      expect(reason).toMatch(
        /^frozen: memory pressure: (tasks wait for memory; )?\d+ MiB are available, 160 MiB are to be kept free; /,
      );
    expect((await find("busy")).state).toBe("running");
    const refused = await home.thaw("create", "--name", "more");
    expect([refused.exitCode, String(refused.stderr)]).toEqual([
      125,
      expect.stringMatching(/no room for sandbox more: (memory pressure|\d+ MiB needed)/),
    ]);
    const log = readFileSync(join(home.path, "audit.jsonl"), "utf8");
    expect(log).toMatch(/"verb":"pause","target":"first","by":{"from":"daemon".*"why":"memory pressure"/);
    expect(log).toMatch(/"verb":"stop","target":"first","by":{"from":"daemon".*"why":"memory pressure"/);
    expect(isAlive(pid)).toBe(true);

    home.unlimit();
    const again = await home.thaw("exec", "first", "--", "sh", "-c", "ls /dev/shm | wc -l");
    expect([again.exitCode, again.stdout, again.stderr]).toEqual([0, "10\n", ""]);
  });

  test("spares are ended for it, a busy sandbox is not, and spares are made again when there is room", async () => {
    await using home = await limitedHome(`${CONFIG}pool: { base: 1 }\n`);
    const { find } = await withSandboxes(home, ["idle", "busy"]);
    const ready = async () => (await home.json<Pool[]>("pool", "ls"))[0]?.ready;
    await until(async () => (await ready()) === 1, "a spare");
    expect((await home.thaw("exec", "-d", "busy", "--", "sleep", "600")).exitCode).toBe(0);
    // There is pressure when less than 80 MiB are left. Nobody writes anything now: the kernel has no reason to kill.
    await home.limit(60);
    await until(async () => (await ready()) === 0, "the spare to end");
    expect((await find("busy")).state).toBe("running");

    home.unlimit();
    // At once, and not half a minute later: a pool was changed.
    expect((await home.thaw("config", "set", "pool.base", "2")).exitCode).toBe(0);
    await until(async () => (await ready()) === 2, "two spares");
    for (const name of ["idle", "busy"])
      expect((await home.thaw("exec", name, "--", "echo", "here")).stdout).toBe("here\n");
  });

  test("a machine is ended when all are busy; the daemon and the others go on", async () => {
    await using home = await limitedHome(CONFIG);
    const { find, pid } = await withSandboxes(home, ["greedy", "modest"]);
    for (const name of ["greedy", "modest"])
      expect((await home.thaw("exec", "-d", name, "--", "sleep", "600")).exitCode).toBe(0);
    // A machine that takes memory until the ended one has given its own back would be ended too.
    const modest = await standStill((await find("modest")).id);
    await home.limit(60, "with the daemon");
    const said = await home.thaw("exec", "greedy", "--", ...dirty(150));
    expect(said.exitCode).not.toBe(0);
    await until(async () => (await find("greedy")).state === "failed", "the machine to end");
    expect((await find("greedy")).reason).toMatch(/was killed: out of memory/);
    process.kill(modest, "SIGCONT");
    const { exitCode, stdout, stderr } = await home.thaw("exec", "modest", "--", "echo", "here");
    expect([exitCode, stdout, stderr, (await find("modest")).reason]).toEqual([0, "here\n", "", null]);
    expect((await home.json<{ pid: number }>("daemon", "status")).pid).toBe(pid);
  });
});
