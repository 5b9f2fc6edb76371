import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { capabilities } from "../helpers/capabilities.ts";
import { testHome } from "../helpers/test-home.ts";
import { type SandboxRow, secondsOff, thaw, thawJson } from "../helpers/thaw.ts";

const { ownDisk, ownKernel } = capabilities;

afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});
beforeAll(async () => {
  const { exitCode, stderr } = await thaw(["template", "build", "base"]);
  expect(exitCode, String(stderr)).toBe(0);
});

const noSandboxes = async () => expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);

describe("thaw run", () => {
  test("streams apart, the exit code passed on, nothing said by thaw, nothing left", async () => {
    const { stdout, stderr, exitCode } = await thaw([
      "run",
      "--",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 7",
    ]);
    expect({ stdout, stderr, exitCode }).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 7 });
    await noSandboxes();
  });

  test("stdin is passed on and ends", async () => {
    const { stdout } = await thaw(["run", "-i", "--", "wc", "-l"], { input: "a\nb\n" });
    expect(String(stdout).trim()).toBe("2");
  });

  test("a large stdin comes back whole", async () => {
    const bytes = randomBytes(3 << 20);
    const { stdout } = await thaw(["run", "-i", "--", "cat"], {
      input: bytes,
      encoding: "buffer",
      maxBuffer: 1 << 24,
    });
    expect(Buffer.compare(Buffer.from(stdout as Uint8Array), bytes)).toBe(0);
  });

  test("large output comes whole and in order", async () => {
    const { stdout } = await thaw(["run", "--", "sh", "-c", "seq 1 400000"], { maxBuffer: 1 << 24 });
    const lines = String(stdout).trimEnd().split("\n");
    expect(lines.length).toBe(400_000);
    expect(lines.every((line, index) => line === String(index + 1))).toBe(true);
  });

  test("its own kernel, loopback only", async () => {
    const host = (await execa("uname", ["-r"])).stdout;
    const { stdout } = await thaw([
      "run",
      "--",
      "sh",
      "-c",
      "uname -r; tail -n +3 /proc/net/dev | cut -d: -f1",
    ]);
    const [kernel, ...cards] = String(stdout).trim().split("\n");
    expect(kernel).not.toBe(host);
    expect(cards.map((card) => card.trim())).toEqual(["lo"]);
  });

  test.skipIf(!ownKernel)("limits and files that programs expect", async () => {
    const script =
      "cd /proc/sys/fs/inotify; cat max_user_watches max_user_instances; awk '/^Max processes/ {print $3}' /proc/self/limits; stat -c %a /run/lock /run/user; grep -c ' / ' /etc/mtab";
    const { stdout } = await thaw(["run", "--", "sh", "-c", script]);
    const [watches, instances, processes, ...rest] = String(stdout).trim().split("\n");
    expect(Number(watches)).toBeGreaterThanOrEqual(65_536);
    expect(Number(instances)).toBeGreaterThanOrEqual(1_024);
    expect(Number(processes)).toBeGreaterThanOrEqual(4_096);
    expect(rest).toEqual(["1777", "755", "1"]);
  });

  test("a timeout is 124, and says that it was thaw's", async () => {
    const { exitCode, stderr } = await thaw(["run", "--timeout", "2s", "--", "sleep", "60"]);
    expect(exitCode).toBe(124);
    expect(String(stderr)).toMatch(/thaw/);
    await noSandboxes();
  });

  test("127 not found, 126 not executable, 125 thaw's own", async () => {
    expect((await thaw(["run", "--", "no-such-program"])).exitCode).toBe(127);
    expect((await thaw(["run", "--", "/etc/passwd"])).exitCode).toBe(126);
    expect((await thaw(["run", "--snapshot", "nope:1", "--", "true"])).exitCode).toBe(2);
  });

  test("a signal's death is 128 + its number", async () => {
    expect((await thaw(["run", "--", "sh", "-c", "kill -TERM $$"])).exitCode).toBe(143);
  });

  test("environment, folder and user are as asked", async () => {
    const file = join(testHome(), "variables");
    writeFileSync(file, '# mine\n\nGREETING=from the file\nFAREWELL="so long"\n');
    const { stdout } = await thaw([
      "run",
      "-e",
      "GREETING=hi there",
      "--env-file",
      file,
      "-w",
      "/tmp",
      "-u",
      "nobody",
      "--",
      "sh",
      "-c",
      'echo "$GREETING, $FAREWELL"; pwd; id -un',
    ]);
    expect(String(stdout)).toBe('hi there, "so long"\n/tmp\nnobody\n');
  });

  test.skipIf(!ownKernel)("clones are not twins", async () => {
    const outputs = await Promise.all(
      [1, 2, 3].map(async () =>
        String(
          (
            await thaw([
              "run",
              "--",
              "cat",
              "/proc/sys/kernel/random/uuid",
              "/etc/machine-id",
              "/proc/sys/kernel/random/boot_id",
            ])
          ).stdout,
        ),
      ),
    );
    const values = outputs.flatMap((output) => output.trim().split("\n"));
    expect(values).toHaveLength(9);
    expect(new Set(values).size).toBe(9);
  });

  test("the clock is the host's", async () => {
    const sinceMs = Date.now();
    const { stdout } = await thaw(["run", "--", "date", "+%s"]);
    expect(secondsOff(Number(stdout), sinceMs)).toBeLessThan(3);
  });

  test.skipIf(!ownDisk)("other resources than the snapshot's: made once, then reused", async () => {
    const first = await thaw([
      "run",
      "--cpus",
      "2",
      "--memory",
      "384M",
      "--",
      "sh",
      "-c",
      "nproc; grep MemTotal /proc/meminfo",
    ]);
    expect(String(first.stdout)).toMatch(/^2\nMemTotal: +3[0-9]{5} kB\n$/);
    expect(String(first.stderr)).toMatch(/boot/);
    const second = await thaw(["run", "--cpus", "2", "--memory", "384M", "--", "nproc"]);
    expect([second.stdout, second.stderr]).toEqual(["2\n", ""]);
  });

  test("a process that outlives the command does not hold it", async () => {
    const started = Date.now();
    const { stdout, exitCode } = await thaw(["run", "--", "sh", "-c", "sleep 300 & echo done"]);
    expect([stdout, exitCode]).toEqual(["done\n", 0]);
    expect(Date.now() - started).toBeLessThan(60_000);
  });
});

describe("workspace", () => {
  test("what git sees goes in, and git sees the same inside", async () => {
    const here = (await execa("git", ["ls-files"])).stdout.split("\n").length;
    const { stdout, stderr } = await thaw([
      "run",
      "--workspace",
      ".",
      "--",
      "sh",
      "-c",
      "git ls-files | wc -l; git diff-index --name-only HEAD; pwd",
    ]);
    const changed = (await execa("git", ["diff", "--name-only", "HEAD"])).stdout;
    expect(String(stdout).trim(), String(stderr)).toBe(
      [String(here), ...changed.split("\n").filter(Boolean), "/workspace"].join("\n"),
    );
  });

  test("odd names go in, links as they are and never followed; what is no file is named", async () => {
    const dir = mkdtempSync(join(tmpdir(), "thaw-ws-"));
    try {
      writeFileSync(join(dir, "new\nline"), "1");
      writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x66, 0xff, 0xfe])]), "2");
      symlinkSync("/etc/passwd", join(dir, "absolute"));
      symlinkSync("../../../../etc/passwd", join(dir, "escaping"));
      symlinkSync("new\nline", join(dir, "fine"));
      await execa("mkfifo", [join(dir, "fifo")]);
      const script = "ls -1 | wc -l; cat fine; readlink absolute escaping";
      const args = ["run", "--verbose", "--workspace", dir, "--", "sh", "-c", script];
      const { stdout, stderr, exitCode } = await thaw(args);
      expect(exitCode, String(stderr)).toBe(0);
      expect(String(stdout).trim().split("\n").slice(-2)).toEqual(["1/etc/passwd", "../../../../etc/passwd"]);
      expect(String(stderr)).toContain("not sent: fifo: a named pipe");
      expect(String(stderr)).toMatch(/workspace: 5 files and folders, 2 bytes · 1 files left out/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
