/** A daemon comes back to whatever machines there are: it answers at once, and one that does not answer harms nobody else. */
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import {
  daemonPid,
  killDaemon,
  type SandboxRow,
  secondsOff,
  standStill,
  thaw,
  thawJson,
  until,
} from "../helpers/thaw.ts";

const stopped = new Set<number>();

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  for (const pid of stopped) process.kill(pid, "SIGCONT");
  stopped.clear();
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

const rows = () => thawJson<SandboxRow[]>(["ls"]);
const row = async (name: string) => (await rows()).find((one) => one.name === name);
const stateOf = async (name: string) => (await row(name))?.state;

/** Root in the guest cuts its agent off from the host. Until then its log grows. */
const CUT_OFF =
  "while echo; do sleep 0.1; done & sleep 1; for d in /sys/bus/virtio/drivers/virtio_console/virtio*; do basename $d > /sys/bus/virtio/drivers/virtio_console/unbind; done";

async function cutOff(name: string): Promise<void> {
  expect((await thaw(["create", "--name", name])).exitCode).toBe(0);
  expect((await thaw(["exec", "-d", name, "--", "sh", "-c", CUT_OFF])).exitCode).toBe(0);
  let before = "";
  const isCutOff = async () => {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const { stdout } = await thaw(["logs", name]);
    const grown = stdout !== before;
    before = String(stdout);
    return before !== "" && !grown;
  };
  await until(isCutOff, "its log to grow no more");
}

/** Until the test is over. */
async function stop(name: string, which?: "thaw-keeper"): Promise<number> {
  const pid = await standStill((await row(name))?.id ?? "", which);
  stopped.add(pid);
  return pid;
}

describe("a guest that does not answer", () => {
  test.each(["killed", "stopped"])("harms nobody when the daemon is %s", async (how) => {
    await cutOff("hung");
    const script =
      "for i in $(seq 1 60); do echo $i; sleep 0.1; done; until [ -e /over ]; do sleep 0.1; done; exit 7";
    const run = thaw(["run", "--name", "goes-on", "--", "sh", "-c", script]);
    if (run.stdout) await once(run.stdout, "data");
    if (how === "killed") await killDaemon();
    else expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
    // The first answer of the next daemon has both, whatever their machines do.
    expect((await rows()).map(({ name }) => name)).toContain("hung");
    expect(await rows()).toHaveLength(2);
    await until(async () => (await stateOf("hung")) === "unresponsive", "the hung one to be noticed");
    expect((await row("hung"))?.reason).toMatch(/did not answer/);
    const refused = await thaw(["exec", "hung", "--", "true"]);
    expect([refused.exitCode, refused.stderr]).toEqual([
      125,
      expect.stringMatching(/unresponsive.*\n.*thaw rm hung/),
    ]);
    expect((await thaw(["exec", "goes-on", "--", "touch", "/over"])).exitCode).toBe(0);
    const { exitCode, stdout, stderr } = await run;
    expect(exitCode, String(stderr)).toBe(7);
    expect(String(stdout).trim().split("\n")).toHaveLength(60);
    expect((await thaw(["rm", "hung"])).exitCode).toBe(0);
    await until(async () => (await rows()).length === 0, "both to go");
  });

  test("a hypervisor that is slow at the adoption is asked again, and its sandbox goes on", async () => {
    expect((await thaw(["create", "--name", "slow"])).exitCode).toBe(0);
    expect((await thaw(["exec", "slow", "--", "sh", "-c", "echo kept > /tmp/s"])).exitCode).toBe(0);
    const pid = await stop("slow");
    await killDaemon();
    await until(async () => (await stateOf("slow")) === "unresponsive", "it to be noticed");
    process.kill(pid, "SIGCONT");
    await until(async () => (await stateOf("slow")) === "running", "it to be asked again");
    expect((await thaw(["exec", "slow", "--", "cat", "/tmp/s"])).stdout).toBe("kept\n");
  });
});

test("a machine that does not die: listed as removing, its name taken, also by the next daemon; gone once it dies", async () => {
  expect((await thaw(["create", "--name", "tough"])).exitCode).toBe(0);
  const pid = await stop("tough", "thaw-keeper");
  const refused = await thaw(["rm", "tough"]);
  expect([refused.exitCode, refused.stderr]).toEqual([
    124,
    expect.stringMatching(/tough is not removed yet/),
  ]);
  expect(await row("tough")).toMatchObject({ state: "removing", reason: expect.any(String) });
  await killDaemon();
  expect(await stateOf("tough")).toBe("removing");
  const taken = await thaw(["create", "--name", "tough"]);
  expect([taken.exitCode, taken.stderr]).toEqual([125, expect.stringMatching(/tough/)]);
  expect((await thaw(["run", "--", "echo", "served"])).stdout).toBe("served\n");
  process.kill(pid, "SIGCONT");
  stopped.delete(pid);
  await until(async () => (await rows()).length === 0, "it to be tried again");
  expect((await thaw(["create", "--name", "tough"])).exitCode).toBe(0);
});

test("a machine that does not die when its guest has ended counts as memory that is taken, also for the next daemon", async () => {
  const config = join(testHome(), "config.yaml");
  // Room for one machine of 256 MiB, what it may take beside that, and a copy of its snapshot's memory.
  writeFileSync(config, "limits:\n  memory: 1200M\n  overcommit: 1\n");
  try {
    expect((await thaw(["create", "--name", "tough"])).exitCode).toBe(0);
    const pid = await stop("tough", "thaw-keeper");
    await thaw(["exec", "-d", "tough", "--", "sh", "-c", "echo o > /proc/sysrq-trigger"]);
    const lingers = async () =>
      /powered off; its machine is still there/.test((await row("tough"))?.reason ?? "");
    await until(lingers, "its end to be noticed");
    const refused = { exitCode: 125, stderr: expect.stringMatching(/no room for sandbox second/) };
    expect(await thaw(["create", "--name", "second"])).toMatchObject(refused);
    await killDaemon();
    expect(await lingers()).toBe(true);
    expect(await thaw(["create", "--name", "second"])).toMatchObject(refused);
    process.kill(pid, "SIGCONT");
    stopped.delete(pid);
    await until(async () => !(await lingers()), "it to be ended again");
    expect(await stateOf("tough")).toBe("stopped");
    expect(await thaw(["create", "--name", "second"])).toMatchObject({ exitCode: 0 });
  } finally {
    rmSync(config);
  }
});

describe("what ends with its client", () => {
  test("twenty runs whose daemon is killed early leave nothing", async () => {
    for (let i = 0; i < 20; i++) {
      await thaw(["ls"]);
      const pid = await daemonPid();
      const run = thaw(["run", "--", "sh", "-c", "exit 0"]);
      await new Promise((resolve) => setTimeout(resolve, 100 + 30 * i));
      process.kill(pid, "SIGKILL");
      await run;
    }
    await until(async () => (await rows()).length === 0, "all of them to be gone");
  });

  test("run --keep: what was to be kept is, though the daemon was killed before it had noted that", async () => {
    expect((await thaw(["run", "--keep", "--name", "kept", "--", "true"])).exitCode).toBe(0);
    const { id } = (await row("kept")) as SandboxRow;
    await killDaemon();
    const path = join(testHome(), "sandboxes", id, "record.json");
    const record = JSON.parse(readFileSync(path, "utf8"));
    expect([record.keep, record.leased]).toEqual([true, false]);
    writeFileSync(path, JSON.stringify({ ...record, leased: true }));
    await until(
      async () => !((await thawJson<{ leased: boolean }[]>(["ls"]))[0]?.leased ?? true),
      "it to be kept",
    );
  });
});

test("what a killed daemon was writing is cleared, wherever it was", async () => {
  await thaw(["ls"]);
  await killDaemon();
  const inside = (folder: string) => readdirSync(join(testHome(), folder)).map((name) => join(folder, name));
  const folders = [".", "reruns", "packages", "wire/some", ...inside("kernels"), ...inside("rootfs")];
  const torn = folders.map((folder) => join(testHome(), folder, ".0123456789ab0123456789ab.tmp"));
  for (const path of torn) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "{");
  }
  await thaw(["ls"]);
  await until(() => !torn.some((path) => existsSync(path)), "all of it to be gone");
});

describe("the guest's clock", () => {
  const behind = async (name: string): Promise<number> => {
    const sinceMs = Date.now();
    const { stdout } = await thaw(["exec", name, "--", "date", "+%s.%N"]);
    return secondsOff(Number(stdout), sinceMs);
  };

  test("is right after every pause, however it ends", async () => {
    expect((await thaw(["create", "--name", "clock"])).exitCode).toBe(0);
    for (const goOn of [["resume", "clock"], [], ["cp", "clock:/etc/hostname", "-"]]) {
      expect((await thaw(["pause", "clock"])).exitCode).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 6000));
      if (goOn.length > 0) expect((await thaw(goOn)).exitCode).toBe(0);
      // It was paused for six seconds.
      expect(await behind("clock"), goOn.join(" ")).toBeLessThan(3);
    }
  });
});
