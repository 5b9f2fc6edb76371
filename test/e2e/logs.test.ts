import { execa } from "execa";
import { afterEach, beforeAll, expect, test } from "vitest";
import { daemonPid, killDaemon, thaw, thawBin, thawEnv, thawJson, until } from "../helpers/thaw.ts";

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
  return async () => {
    expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  };
});
afterEach(async () => {
  await daemonPid();
});

const start = async (script: string): Promise<string> => {
  const { stdout, stderr, exitCode } = await thaw(["exec", "-d", "web", "--", "sh", "-c", script]);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout).trim();
};
const numbers = (text: unknown): number[] => String(text).trim().split("\n").map(Number);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1);

test("a daemon killed twice: the log and a follower have every line once", async () => {
  await start("for i in $(seq 100); do echo $i; sleep 0.1; done");
  const follower = thaw(["logs", "-f", "web"]);
  for (let kill = 0; kill < 2; kill++) {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await killDaemon();
  }
  const followed = await follower;
  expect(numbers(followed.stdout), String(followed.stderr)).toEqual(upTo(100));
  expect(followed.exitCode).toBe(0);
  expect(numbers((await thaw(["logs", "web"])).stdout)).toEqual(upTo(100));
});

test("stdout and stderr apart, the newest exec by default, an older one by its id", async () => {
  const older = await start("echo one; echo two >&2");
  await thaw(["logs", "-f", "web", older]);
  await start("echo newer");
  await until(async () => (await thaw(["logs", "web"])).stdout === "newer\n", "the newer exec's output");
  expect(await thaw(["logs", "web", older])).toMatchObject({ stdout: "one\n", stderr: "two\n", exitCode: 0 });
  expect(await thaw(["logs", "web", older.slice(0, 6)])).toMatchObject({ stdout: "one\n" });
  const unknown = await thaw(["logs", "web", "zzzz"]);
  expect([unknown.exitCode, String(unknown.stderr)]).toEqual([2, expect.stringContaining(older)]);
});

test("ps lists the execs of a sandbox, kill ends one, inspect and ls -q tell the sandbox", async () => {
  const id = await start("sleep 600");
  const stateOf = async (): Promise<string | undefined> =>
    (await thawJson<{ execs: { id: string; state: string }[] }>(["ps", "web"])).execs.find(
      (exec) => exec.id === id,
    )?.state;
  expect([await stateOf(), String((await thaw(["ps", "web"])).stdout)]).toEqual([
    "running",
    expect.stringMatching(new RegExp(`^${id} +running .*sleep 600`, "m")),
  ]);
  expect(await thaw(["kill", "web", id.slice(0, 8)])).toMatchObject({ stdout: `${id}\n`, exitCode: 0 });
  await until(async () => (await stateOf()) === "exited", "the exec to end");
  const [web] = JSON.parse(String((await thaw(["inspect", "web"])).stdout)) as { id: string; name: string }[];
  expect(web?.name).toBe("web");
  expect((await thaw(["ls", "-q"])).stdout).toBe(`${web?.id}\n`);
  expect((await thaw(["kill", "-s", "no signal", "web"])).exitCode).toBe(2);
});

test("--tail, --since, --timestamps and --json", async () => {
  // Each is there before the next is written: what is read at once has one time.
  const next = (n: number) => `; until [ -e /next-${n} ]; do sleep 0.05; done; `;
  const exec = await start(`echo old${next(1)}echo 1${next(2)}echo 2 >&2${next(3)}printf 3`);
  for (const [n, written] of [
    [1, "old\n"],
    [2, "old\n1\n"],
    [3, "old\n1\n2\n"],
  ] as const) {
    await until(async () => {
      const { stdout, stderr } = await thaw(["logs", "web", exec]);
      return `${stdout}${stderr}` === written;
    }, written);
    expect((await thaw(["exec", "web", "--", "touch", `/next-${n}`])).exitCode).toBe(0);
  }
  expect((await thaw(["logs", "-f", "web", exec])).stdout).toBe("old\n1\n3");
  expect(await thaw(["logs", "--tail", "2", "web", exec])).toMatchObject({ stdout: "3", stderr: "2\n" });
  expect(await thaw(["logs", "--tail", "0", "web", exec])).toMatchObject({ stdout: "", stderr: "" });
  expect((await thaw(["logs", "--since", "1h", "web", exec])).stdout).toBe("old\n1\n3");
  expect((await thaw(["logs", "--since", "2001-01-01", "web", exec])).stdout).toBe("old\n1\n3");
  expect(String((await thaw(["logs", "-t", "-n", "1", "web", exec])).stdout)).toMatch(
    /^20\d\d-\d\d-\d\dT[\d:.]+Z 3\n$/,
  );
  const lines = String((await thaw(["logs", "--json", "web", exec])).stdout)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { time: string });
  expect((await thaw(["logs", "--since", lines[1]?.time ?? "", "web", exec])).stdout).toBe("1\n3");
  await until(() => Date.parse(lines[3]?.time ?? "") < Date.now() - 1000, "a second to pass");
  expect((await thaw(["logs", "--since", "1s", "web", exec])).stdout).toBe("");
  expect(lines).toEqual([
    { time: expect.any(String), stream: "stdout", text: "old" },
    { time: expect.any(String), stream: "stdout", text: "1" },
    { time: expect.any(String), stream: "stderr", text: "2" },
    { time: expect.any(String), stream: "stdout", text: "3" },
  ]);
  expect((await thaw(["logs", "--since", "yesterday", "web", exec])).exitCode).toBe(2);
});

test("a follower that stops reading holds nobody up, and misses nothing that is kept", async () => {
  const exec = await start("seq 1 600000");
  const slow = execa(process.execPath, [thawBin, "logs", "-f", "web", exec], {
    env: thawEnv(),
    reject: false,
    maxBuffer: 1 << 26,
  });
  slow.kill("SIGSTOP");
  await until(async () => {
    const [{ execs }] = (await thawJson<{ execs: { id: string; state: string }[] }[]>(["ls"])) as [
      { execs: { id: string; state: string }[] },
    ];
    return execs.find(({ id }) => id === exec)?.state === "exited";
  }, "the exec to end");
  slow.kill("SIGCONT");
  expect(numbers((await slow).stdout)).toEqual(upTo(600_000));
});

test("all of a sandbox: those that start later join, and it ends with the sandbox", async () => {
  expect((await thaw(["create", "--name", "many"])).exitCode).toBe(0);
  const startIn = async (script: string): Promise<string> =>
    String((await thaw(["exec", "-d", "many", "--", "sh", "-c", script])).stdout).trim();
  const first = await startIn("echo one; echo half >&2; sleep 600");
  const client = execa(process.execPath, [thawBin, "logs", "-f", "--all", "many"], {
    env: thawEnv(),
    reject: false,
  });
  let told = "";
  let errors = "";
  client.stdout?.on("data", (chunk) => {
    told += chunk;
  });
  client.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  await until(
    () => told.includes(`${first} | one\n`) && errors.includes(`${first} | half\n`),
    "the first command's lines",
  );
  const second = await startIn("printf 'two\\nno end'");
  await until(
    () => told.includes(`${second} | two\n`) && told.includes(`${second} | no end\n`),
    "the second's",
  );
  const whole = await thaw(["logs", "--all", "--json", "many"]);
  const lines = String(whole.stdout)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  expect(lines.map(({ exec, stream, text }) => [exec, stream, text])).toEqual([
    [first, "stdout", "one"],
    [first, "stderr", "half"],
    [second, "stdout", "two"],
    [second, "stdout", "no end"],
  ]);
  expect((await thaw(["rm", "many"])).exitCode).toBe(0);
  const { exitCode, stderr } = await client;
  expect([exitCode, stderr]).toEqual([0, `${first} | half`]);
  expect((await thaw(["logs", "--all", "web", "zzz"])).exitCode).toBe(2);
});
