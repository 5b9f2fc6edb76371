import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Capture } from "../../client/index.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

/** Another one each time: a home may be kept. */
const VALUE = `correct-horse-${randomBytes(6).toString("hex")}`;
const COVERED = "*".repeat(VALUE.length);

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterAll(async () => {
  await thaw(["rm", "--all"]);
});

const show = (reference = "latest") => thawJson<Capture>(["capture", "show", reference]);
const scanned = async (): Promise<Capture> => {
  await until(async () => (await show()).notes.scan !== null, "the scan");
  return show();
};
const kinds = ({ notes: { scan } }: Capture) => scan?.findings.map(({ kind, where }) => `${kind} ${where}`);
/** Files of the state folder that hold the value as it is; not what was there before, nor `layers`, a fork's memory and disk. */
async function holders(): Promise<string> {
  const excluded = ["snapshots", "rootfs", "kernels", "versions", "layers"].map(
    (name) => `--exclude-dir=${name}`,
  );
  const { stdout } = await execa("grep", ["-rlF", ...excluded, VALUE, testHome()], { reject: false });
  return stdout;
}

test("a masked value: not in the output, the log, the case, nor anywhere on the host's disk; memory has it, and says so", async () => {
  const script = 'echo "as it is: $TOKEN"; printf "user:$TOKEN" | base64; sleep 30 & exit 1';
  const flags = ["--mask", "TOKEN", "--capture", "on-failure", "--keep", "--name", "masked"];
  await thaw(["rm", "masked"]);
  const failed = await thaw(["run", ...flags, "--", "sh", "-c", script, VALUE], { env: { TOKEN: VALUE } });
  expect(failed.exitCode).toBe(1);
  expect(failed.stdout).toContain(`as it is: ${COVERED}\n`);
  expect(failed.stdout).not.toContain(Buffer.from(`user:${VALUE}`).toString("base64").slice(8, 40));
  expect(`${failed.stdout}${failed.stderr}`).not.toContain(VALUE);
  expect((await thaw(["logs", "masked"])).stdout).toBe(failed.stdout);
  const capture = await scanned();
  expect(capture.exec).toMatchObject({ argv: ["sh", "-c", script, "***"], masked: ["TOKEN"] });
  expect(capture.exec?.lastLines[0]).toBe(`as it is: ${COVERED}`);
  expect(kinds(capture)).toContain("TOKEN memory");
  expect(kinds(capture)).not.toContain("TOKEN log");
  expect(kinds(capture)).not.toContain("TOKEN request");
  expect(capture.notes.scan?.findings[0]?.pages.length).toBeGreaterThan(0);
  expect(String((await thaw(["capture", "show", "latest"])).stdout)).toMatch(
    /secrets +TOKEN \(masked\) ×\d+ in memory.*not to be published/,
  );
  const audit = readFileSync(join(testHome(), "audit.jsonl"), "utf8");
  expect(audit).toContain('"***"');
  expect(await holders()).toBe("");
});

test("other commands of the sandbox are masked too, also when the daemon was killed", async () => {
  expect((await thaw(["create", "--name", "told"])).exitCode).toBe(0);
  const told = ["exec", "--mask", "TOKEN", "-e", `TOKEN=${VALUE}`, "told", "--"];
  expect((await thaw([...told, "sh", "-c", 'echo "$TOKEN" > /dev/shm/token'])).exitCode).toBe(0);
  await killDaemon();
  const script = `printf ${VALUE.slice(0, 8)}; sleep 0.3; printf '${VALUE.slice(8)}|'; cat /dev/shm/token`;
  expect((await thaw(["exec", "told", "--", "sh", "-c", script])).stdout).toBe(`${COVERED}|${COVERED}\n`);
  expect((await thaw(["fork", "told", "--name", "child"])).exitCode).toBe(0);
  expect((await thaw(["exec", "child-1", "--", "cat", "/dev/shm/token"])).stdout).toBe(`${COVERED}\n`);
});

test("a prompt comes at once, and what is typed goes in", async () => {
  const script = 'printf "name: "; read name; echo "<$name>"';
  const asked = thaw(
    ["exec", "-i", "--mask", "TOKEN", "-e", `TOKEN=${VALUE}`, "told", "--", "sh", "-c", script],
    {
      buffer: true,
    },
  );
  let seen = "";
  asked.stdout?.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await until(() => seen === "name: ", "the prompt");
  asked.stdin?.end("joe\n");
  expect((await asked).stdout).toBe("name: <joe>\n");
});

test("a replay and a rerun know what was secret in their capture", async () => {
  const script = 'echo "$TOKEN" > /dev/shm/token; echo "token: $TOKEN"; exit 1';
  const flags = ["--mask", "TOKEN", "-e", `TOKEN=${VALUE}`, "--capture", "on-failure"];
  expect((await thaw(["run", ...flags, "--", "sh", "-c", script])).exitCode).toBe(1);
  const { id } = await scanned();
  const replay = await thaw(["replay", id, "--", "sh", "-c", 'cat /dev/shm/token; echo "token: $TOKEN"']);
  expect(replay.stdout).toBe(`${COVERED}\ntoken: \n`);
  const rerun = await thawJson<{ runs: { capture: string | null }[] }>([
    ...["rerun", id, "-n", "1", "-e", `TOKEN=${VALUE}`],
  ]);
  expect(rerun.runs).toHaveLength(1);
  expect(await holders()).toBe("");
});

test("a token that nobody spoke of is found by its shape, on the disk", async () => {
  const token = `ghp_${"aB3dE5gH7jK9mN1pQrS2tUvWxYz4aB3dE5gH7j".slice(0, 36)}`;
  const script = `printf '%s%s' ghp_ ${token.slice(4)} > /root/token; sync; exit 1`;
  expect((await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", script])).exitCode).toBe(1);
  expect(kinds(await scanned())).toContain("github-token disk");
});

/** A folder for files, and a state folder that has never seen this one's captures. */
async function elsewhere() {
  const folder = await mkdtemp(join(tmpdir(), "thaw-published-"));
  const home = join(folder, "home");
  const far = (...args: string[]) => thaw(args, { env: { THAW_HOME: home } });
  const gone = async (): Promise<void> => {
    await far("rm", "--all");
    await far("daemon", "stop");
    await rm(folder, { recursive: true, force: true });
  };
  return { folder, far, gone };
}

test("a secret that is in memory only: nothing is exported but the disk, which is replayed elsewhere", async () => {
  const script = "echo evidence > /root/evidence; sync; exec sleep 1000";
  const flags = ["--mask", "TOKEN", "-e", `TOKEN=${VALUE}`, "--timeout", "8s", "--capture", "on-failure"];
  expect((await thaw(["run", ...flags, "--", "sh", "-c", script])).exitCode).toBe(124);
  const { id } = await scanned();
  const { folder, far, gone } = await elsewhere();
  try {
    const file = join(folder, "leak.thaw");
    const refused = await thaw(["capture", "export", id, file]);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toMatch(new RegExp(`${id} is not published: it has TOKEN ×\\d+ in memory`));
    expect(refused.stderr).toContain("--disk-only");
    const allowed = await thaw(["capture", "export", id, file, "--allow-secrets", "TOKEN"]);
    expect([allowed.exitCode, allowed.stderr]).toEqual([125, expect.stringContaining("not published")]);
    const both = await thaw(["capture", "export", id, file, "--disk-only", "--full"]);
    expect([both.exitCode, both.stderr]).toEqual([2, expect.stringContaining("--disk-only")]);
    const pushed = await thaw(["capture", "push", id, `dir:${join(folder, "store")}`]);
    expect([pushed.exitCode, pushed.stderr]).toEqual([125, expect.stringContaining("not published")]);
    expect(await readdir(folder)).toEqual([]);

    expect(await thaw(["capture", "export", id, file, "--disk-only"])).toMatchObject({ exitCode: 0 });
    const store = `dir:${join(folder, "store")}`;
    expect(await thaw(["capture", "push", id, store, "--disk-only"])).toMatchObject({ exitCode: 0 });
    const opened = await execa("grep", ["-rlF", VALUE, folder], { reject: false });
    expect(opened.stdout).toBe("");

    const imported = await far("capture", "import", file);
    expect([imported.exitCode, imported.stdout], String(imported.stderr)).toEqual([0, `${id}\n`]);
    const check = await far("capture", "check", id);
    expect(check.stdout).toMatch(/memory +no +its memory was left out when it was published/);
    expect(check.stdout).toContain("best here: disk");
    const again = await far("capture", "pull", `${store}:${id}`);
    expect([again.exitCode, again.stderr]).toEqual([0, expect.stringContaining("is here already")]);
    const replayed = await far("replay", id, "--", "sh", "-c", "cat /root/evidence; pgrep sleep");
    expect(replayed.stdout, String(replayed.stderr)).toBe("evidence\n");
    const whole = await far("capture", "export", id, join(folder, "full.thaw"), "--full");
    expect([whole.exitCode, whole.stderr]).toEqual([
      125,
      expect.stringContaining("can't be converted to a full capture"),
    ]);
    // What is there was looked through again, and goes on from there.
    expect(await far("capture", "export", id, join(folder, "on.thaw"))).toMatchObject({ exitCode: 0 });
  } finally {
    await gone();
  }
}, 300_000);

test("a shape on the disk: not without its memory either, but when it is said to be no secret", async () => {
  const token = `ghp_${"aB3dE5gH7jK9mN1pQrS2tUvWxYz4aB3dE5gH7j".slice(0, 36)}`;
  const script = `printf '%s%s' ghp_ ${token.slice(4)} > /root/token; sync; exit 1`;
  expect((await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", script])).exitCode).toBe(1);
  const { id } = await scanned();
  const { folder, gone } = await elsewhere();
  try {
    const file = join(folder, "shape.thaw");
    for (const flags of [[], ["--disk-only"], ["--allow-secrets", "private-key"]]) {
      const refused = await thaw(["capture", "export", id, file, ...flags]);
      expect(refused.exitCode).toBe(125);
      expect(refused.stderr).toMatch(/github-token ×\d+ in disk/);
      expect(refused.stderr).toContain("--allow-secrets github-token");
      expect(refused.stderr).not.toContain(token);
    }
    expect(await readdir(folder)).toEqual([]);
    const allowed = await thaw(["capture", "export", id, file, "--allow-secrets", "github-token", "--json"]);
    expect([allowed.exitCode, JSON.parse(String(allowed.stdout))]).toEqual([
      0,
      expect.objectContaining({ id }),
    ]);
  } finally {
    await gone();
  }
});

test("no value, a short value, and a name that is none", async () => {
  const missing = await thaw(["exec", "--mask", "NOT_THERE", "told", "--", "true"]);
  expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining("no variable NOT_THERE")]);
  const short = await thaw([
    "exec",
    "--mask",
    "PIN",
    "-e",
    "PIN=1234",
    "told",
    "--",
    "sh",
    "-c",
    "echo $PIN",
  ]);
  expect(short).toMatchObject({ stdout: "1234\n", exitCode: 0 });
  expect(short.stderr).toContain("PIN is not masked");
  expect((await thaw(["exec", "--mask", "A=b", "told", "--", "true"])).exitCode).toBe(2);
});
