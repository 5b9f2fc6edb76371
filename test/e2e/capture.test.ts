import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fileInTar } from "../helpers/tar.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

interface CaptureRow {
  id: string;
  trigger: string;
  storedBytes: number;
  replays: string | null;
  fingerprint: string;
  before: string;
  exec: {
    argv: string[];
    envNames: string[];
    exit: { code: number | null; signal: string | null } | null;
    lastLines: string[];
  } | null;
  crash: { pid: number; signal: string } | null;
  processes: { command: string }[];
  listening: { port: number }[];
  notes: { verified: { ok: boolean; resumeMs?: number; reason?: string } | null; pinned: boolean };
  pauseMs: number;
}

const folder = mkdtempSync(join(tmpdir(), "thaw-capture-"));
const capturesDir = () => join(testHome(), "captures");
const list = () => thawJson<CaptureRow[]>(["capture", "ls"]);
const show = (reference = "latest") => thawJson<CaptureRow>(["capture", "show", reference]);
const failing = (script: string, ...flags: string[]) =>
  thaw(["run", "--capture", "on-failure", ...flags, "--", "sh", "-c", script]);
const replayed = async (reference: string, ...argv: string[]) => {
  const { stdout, stderr, exitCode } = await thaw(["replay", reference, "--", ...argv]);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout);
};

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  await thaw(["rm", "--all"]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("what is captured", () => {
  test("an exit: files and what went on running are there again, and the case tells", async () => {
    const failed = await failing(
      "echo x > /tmp/evidence; (sleep 1000 >/dev/null 2>&1 &) ; echo last words; exit 3",
      "-e",
      "COLOR=crimson",
    );
    expect(failed.exitCode).toBe(3);
    expect(String(failed.stderr)).toMatch(
      /exited 3 after .*\n {2}frozen as (fail-\w{6}) \(.*\) · replay: thaw replay \1\n/,
    );
    expect(
      await replayed("latest", "sh", "-c", "cat /tmp/evidence; pgrep -a sleep; echo $COLOR; pwd"),
    ).toMatch(/^x\n\d+ sleep 1000\ncrimson\n\/root\n$/);
    const one = await show();
    expect(one).toMatchObject({ trigger: "exit", before: "base", replays: "memory", crash: null });
    expect(one.exec).toMatchObject({ envNames: ["COLOR"], exit: { code: 3 }, lastLines: ["last words"] });
    expect(one.processes.map(({ command }) => command)).toContain("sleep 1000");
    expect(one.storedBytes).toBeLessThan(2 * 2 ** 20);
    await until(async () => (await show(one.id)).notes.verified !== null, "the trial thaw");
    expect((await show(one.id)).notes.verified?.ok).toBe(true);
    const shown = String((await thaw(["capture", "show", one.id])).stdout);
    expect(shown).toMatch(/verified +resumes in \d+ ms/);
    expect(shown).not.toMatch(/crimson/);
  });

  test("a timeout: the processes are alive", async () => {
    const failed = await failing("sleep 600", "--timeout", "4s");
    expect(failed.exitCode).toBe(124);
    expect((await show()).trigger).toBe("timeout");
    expect(await replayed("latest", "pgrep", "-a", "sleep")).toMatch(/ sleep 600\n/);
  });

  test("a crash: the process is held as it died, and its core can be written", async () => {
    const failed = await failing("echo bye; kill -SEGV $$");
    expect(failed.exitCode).toBe(139);
    const one = await show();
    expect(one).toMatchObject({ trigger: "signal", crash: { signal: "SEGV" } });
    expect(
      await replayed(
        "latest",
        "sh",
        "-c",
        `cat /proc/${one.crash?.pid}/cmdline | tr '\\0' ' '; grep -c . /proc/${one.crash?.pid}/maps`,
      ),
    ).toMatch(/^sh -c echo bye; kill -SEGV \$\$ \n?[1-9]\d*\n$/);
    const core = join(folder, "core");
    expect((await thaw(["replay", "latest", "--core", core])).exitCode).toBe(0);
    expect(execFileSync("readelf", ["-h", core], { encoding: "utf8" })).toMatch(/Type: +CORE/);
  });

  test("a crash that the command survives is not a failure; one in a child that makes it fail is a crash", async () => {
    const before = (await list()).length;
    expect((await failing("sh -c 'kill -SEGV $$'; true")).exitCode).toBe(0);
    expect(await list()).toHaveLength(before);
    expect((await failing("sh -c 'kill -ABRT $$'; exit 7")).exitCode).toBe(7);
    expect(await show()).toMatchObject({
      trigger: "signal",
      crash: { signal: "ABRT" },
      exec: { exit: { code: 7 } },
    });
  });

  test("a panic: the disk boots, all of memory can be written", async () => {
    const failed = await failing("echo proof > /root/proof; sync; echo c > /proc/sysrq-trigger");
    expect(failed.exitCode).toBe(125);
    const one = await show();
    expect(one).toMatchObject({ trigger: "panic", replays: "disk" });
    expect(String(failed.stderr)).toMatch(/Kernel panic/);
    const core = join(folder, "memory");
    expect((await thaw(["replay", one.id, "--core", core])).exitCode).toBe(0);
    expect(execFileSync("readelf", ["-h", core], { encoding: "utf8" })).toMatch(/Type: +CORE/);
    rmSync(core);
    expect(await replayed(one.id, "cat", "/root/proof")).toBe("proof\n");
    expect((await thaw(["capture", "rm", one.id])).exitCode).toBe(0);
  });

  test("out of memory", async () => {
    const failed = await failing("tail /dev/zero");
    expect(failed.exitCode).toBe(137);
    expect((await show()).trigger).toBe("oom");
  });

  test("nothing when it is not asked for, or did not fail, or failed otherwise", async () => {
    const before = (await list()).length;
    expect((await thaw(["run", "--", "false"])).exitCode).toBe(1);
    expect((await failing("true")).exitCode).toBe(0);
    expect((await thaw(["run", "--capture", "timeout,oom", "--", "false"])).exitCode).toBe(1);
    expect(await list()).toHaveLength(before);
    const wrong = await thaw(["run", "--capture", "sometimes", "--", "true"]);
    expect(wrong.exitCode).toBe(2);
    expect(String(wrong.stderr)).toMatch(/"sometimes" is not on-failure/);
  });

  test("always: also a success; a client that goes away is a cancel", async () => {
    expect((await thaw(["run", "--capture", "always", "--", "true"])).exitCode).toBe(0);
    expect((await show()).id).toMatch(/^capture-/);
    const running = thaw(["run", "--capture", "cancel", "--", "sleep", "333"]);
    await until(
      async () => (await thawJson<SandboxRow[]>(["ls"])).some(({ state }) => state === "running"),
      "the run",
    );
    await until(async () => /sleep/.test(String((await thaw(["ls", "--json"])).stdout)), "the command");
    running.kill("SIGKILL");
    await running;
    await until(async () => (await show()).trigger === "cancel", "the capture");
    expect(await replayed("latest", "pgrep", "-a", "sleep")).toMatch(/ sleep 333\n/);
  });

  test("by hand, of a sandbox that goes on", async () => {
    await thaw(["create", "--name", "web"]);
    await thaw(["exec", "web", "--", "sh", "-c", "echo here > /dev/shm/mark"]);
    const id = String((await thaw(["capture", "create", "web"])).stdout).trim();
    expect(id).toMatch(/^capture-\w{6}$/);
    expect(await replayed(id, "cat", "/dev/shm/mark")).toBe("here\n");
    expect((await thaw(["exec", "web", "--", "true"])).exitCode).toBe(0);
  });
});

describe("a replay", () => {
  test("is somebody else, keeps to itself, and can be forked", async () => {
    await failing("cat /etc/machine-id; exit 1");
    const [was] = (await show()).exec?.lastLines ?? [];
    const ids = [
      await replayed("latest", "cat", "/etc/machine-id"),
      await replayed("latest", "cat", "/etc/machine-id"),
    ];
    expect(new Set([was, ...ids.map((id) => id.trim())]).size).toBe(3);
    const exact = await thaw(["replay", "latest", "--exact", "--", "cat", "/etc/machine-id"]);
    expect(String(exact.stdout).trim()).toBe(was);
    const kept = await thaw(["replay", "latest", "--keep", "--name", "case", "--", "true"]);
    expect(kept.exitCode).toBe(0);
    const forked = await thaw(["fork", "case", "-n", "2", "--name", "try"]);
    expect([forked.exitCode, forked.stdout]).toEqual([0, "try-1\ntry-2\n"]);
    expect((await thaw(["exec", "try-2", "--", "hostname"])).stdout).toBe("try-2\n");
  });

  test("a shell says what one stands in; at the disk level the command is typed", async () => {
    await failing("echo hello there; exit 1");
    await using terminal = await Terminal.open();
    await terminal.type("thaw replay latest");
    await terminal.until(/exited 1 after/);
    await terminal.until(/quarantined: no network, no secrets/);
    await terminal.until(/:~#/);
    await terminal.type("exit 5");
    await terminal.until(/logout\s+host> \s*$/);
    await terminal.clear();
    await terminal.type("thaw replay latest --level disk");
    await terminal.until(/its disk, booted anew/);
    await terminal.until(/[#$] sh -c 'echo hello there; exit 1'/);
  });

  test("what needs a base keeps it", async () => {
    const { stderr, exitCode } = await thaw(["snapshot", "rm", "base"]);
    expect(exitCode).toBe(125);
    expect(String(stderr)).toMatch(/in use by .*fail-/);
  });
});

describe("trust", () => {
  test("a part that was altered, cut or taken away is named, and nothing is thawed", async () => {
    await failing("exit 1");
    const { id } = await show();
    const path = join(capturesDir(), id, "pages.zst");
    const whole = readFileSync(path);
    const flipped = Buffer.from(whole);
    flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1;
    for (const [bytes, says] of [
      [flipped, /pages\.zst was altered/],
      [whole.subarray(0, 100), /pages\.zst has 100 bytes, not \d+/],
      [null, /pages\.zst is missing/],
    ] as const) {
      rmSync(path, { force: true });
      if (bytes) writeFileSync(path, bytes);
      const refused = await thaw(["replay", id, "--", "true"]);
      expect([refused.exitCode, String(refused.stderr)]).toEqual([125, expect.stringMatching(says)]);
      expect(String(refused.stderr)).toMatch(/hint: thaw capture verify/);
      expect((await thaw(["capture", "verify", id])).exitCode).toBe(1);
    }
    expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
    writeFileSync(path, whole);
    expect(await replayed(id, "echo", "whole")).toBe("whole\n");
    writeFileSync(join(capturesDir(), id, "case.json"), "{}");
    await killDaemon();
    expect(String((await thaw(["capture", "ls"])).stderr)).toMatch(
      new RegExp(`capture ${id}: case.json has 2 bytes`),
    );
    expect((await thaw(["replay", id, "--", "true"])).exitCode).toBe(125);
    rmSync(join(capturesDir(), id), { recursive: true });
  });

  test("a daemon killed at any moment: a capture is whole or not there, and the next run works", async () => {
    for (const delayMs of [0, 60, 120, 200, 320, 500]) {
      const before = new Set((await list()).map(({ id }) => id));
      await thaw(["create", "--name", "web"]);
      await thaw([
        "exec",
        "--capture",
        "on-failure",
        "-d",
        "web",
        "--",
        "sh",
        "-c",
        "head -c 20000000 /dev/urandom > /tmp/f; sleep 0.3; exit 1",
      ]);
      await until(
        async () =>
          /"state": "exited"|captured": \{/.test(String((await thaw(["ls", "--json"])).stdout)) ||
          delayMs === 0,
        "the end",
      );
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await killDaemon();
      await until(
        async () => /"state": "exited"/.test(String((await thaw(["ls", "--json"])).stdout)),
        "the exit, told again",
      );
      const made = (await list()).filter(({ id }) => !before.has(id));
      expect(made.length, `killed after ${delayMs} ms`).toBe(1);
      expect(await replayed(made[0]?.id ?? "", "sh", "-c", "wc -c < /tmp/f")).toBe("20000000\n");
      expect(readdirSync(capturesDir()).filter((name) => name.startsWith(".")).length).toBe(0);
      await thaw(["rm", "web"]);
    }
  }, 240_000);

  test("two failures at once, and a failure of a sandbox that is removed meanwhile", async () => {
    const before = (await list()).length;
    const both = await Promise.all([failing("echo a > /tmp/w; exit 1"), failing("echo b > /tmp/w; exit 1")]);
    expect(both.map(({ exitCode }) => exitCode)).toEqual([1, 1]);
    const made = (await list()).slice(0, (await list()).length - before);
    const seen = await Promise.all(made.map(({ id }) => replayed(id, "cat", "/tmp/w")));
    expect(seen.sort()).toEqual(["a\n", "b\n"]);
  });

  test("what can't be captured does not fail the run, and says why", async () => {
    await thaw(["create", "--name", "web"]);
    const blocked = capturesDir();
    execFileSync("chattr", ["+i", blocked], { stdio: "ignore" });
    try {
      const failed = await thaw(["exec", "--capture", "on-failure", "web", "--", "sh", "-c", "exit 9"]);
      expect(failed.exitCode).toBe(9);
      expect(String(failed.stderr)).toMatch(/not captured: /);
    } finally {
      execFileSync("chattr", ["-i", blocked]);
    }
    expect((await thaw(["exec", "web", "--", "true"])).exitCode).toBe(0);
  });

  test("a full disk when freezing: nothing is left; when storing: it is stored when there is room; the run is what it was", async () => {
    await list();
    const on = async (size: string, then: () => Promise<void>): Promise<void> => {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", capturesDir()]);
      try {
        const failed = await failing("head -c 20000000 /dev/urandom > /dev/shm/f; exit 6");
        expect(failed.exitCode).toBe(6);
        await then();
      } finally {
        // The daemon may still have a file of it open.
        execFileSync("umount", ["-l", capturesDir()]);
      }
    };
    await on("2m", async () => {
      await until(() => readdirSync(capturesDir()).length === 0, "what is half made to go");
      expect(await list()).toEqual([]);
    });
    await on("36m", async () => {
      const told = async () => String((await thaw(["events"])).stdout);
      await until(
        async () => /capture\.failed .*tried again when there is room/.test(await told()),
        "the event",
      );
      expect(await list()).toEqual([]);
      execFileSync("mount", ["-o", "remount,size=200m", capturesDir()]);
      expect(await replayed("latest", "sh", "-c", "wc -c < /dev/shm/f")).toBe("20000000\n");
      expect((await thaw(["capture", "rm", "latest"])).exitCode).toBe(0);
    });
    await failing("exit 1");
    expect(await replayed("latest", "echo", "fine")).toBe("fine\n");
  });
});

describe("other levels", () => {
  test("files of a disk are listed and copied without booting anything; names and links are the guest's", async () => {
    const { exitCode } = await failing(
      "mkdir -p /srv/out/deep; echo report > /srv/out/deep/r.xml; ln -s /etc/passwd /srv/out/link; echo odd > '/srv/out/a \"b'; sync; echo c > /proc/sysrq-trigger",
    );
    expect(exitCode).toBe(125);
    const listed = String((await thaw(["replay", "latest", "--level", "files", "/srv/out"])).stdout);
    expect(listed).toMatch(/drwxr-xr-x .* deep\n/);
    expect(listed).toMatch(/l.* link\n/);
    const out = join(folder, "out");
    const copied = await thaw(["cp", "latest:/srv/out", out]);
    expect([copied.exitCode, String(copied.stderr)]).toEqual([
      1,
      expect.stringMatching(/not copied: \/srv\/out\/link: it is a symlink/),
    ]);
    expect(readFileSync(join(out, "deep", "r.xml"), "utf8")).toBe("report\n");
    expect(readdirSync(out).sort()).toEqual(['a "b', "deep"]);
    const printed = await thaw(["cp", "latest:/srv/out/deep/r.xml", "-"]);
    expect(fileInTar(String(printed.stdout))).toBe("report\n");
    expect(String((await thaw(["cp", "latest:/srv/out/deep", out])).stderr)).toMatch(/deep is there already/);
    expect(String((await thaw(["cp", "latest:/none", folder])).stderr)).toMatch(
      /there is no \/none on the disk of fail-/,
    );
    expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
    expect((await thaw(["capture", "rm", "latest"])).exitCode).toBe(0);
  });

  test("on a host of another QEMU, or with less memory: what can be done is said, and the best of it is", async () => {
    await failing("echo kept > /root/kept; sync; exit 1");
    const { id } = await show();
    const path = join(capturesDir(), id, "manifest.json");
    const text = readFileSync(path, "utf8");
    const change = async (
      alter: (manifest: {
        needs: { build: string; accelerator: string };
        resources: { memoryMib: number };
      }) => void,
    ) => {
      const manifest = JSON.parse(text);
      alter(manifest);
      rmSync(path);
      writeFileSync(path, JSON.stringify(manifest));
      await killDaemon();
    };
    await change(({ needs }) => {
      needs.build = needs.build.replace(/version \d+/, "version 6");
    });
    const other = await thaw(["capture", "check", id]);
    expect(String(other.stdout)).toMatch(/memory +no +its memory is a difference taken by .*version 6/);
    expect(String(other.stdout)).toMatch(/disk +yes[\s\S]*best here: disk/);
    expect((await thaw(["replay", id, "--level", "memory", "--", "true"])).exitCode).toBe(125);
    const booted = await thaw(["replay", id, "--", "cat", "/root/kept"]);
    expect([booted.exitCode, booted.stdout]).toEqual([0, "kept\n"]);
    await change(({ resources }) => {
      resources.memoryMib = 1_000_000;
    });
    const large = await thaw(["capture", "check", id, "--json"]);
    expect(JSON.parse(String(large.stdout)).best).toBe("files");
    const refused = await thaw(["replay", id, "--", "true"]);
    expect(String(refused.stderr)).toMatch(/can't be replayed.*1000000 MiB asked for/);
    await change(() => {});
    expect(await replayed(id, "cat", "/root/kept")).toBe("kept\n");
  }, 240_000);
});

describe("thaw rerun", () => {
  test("flaky and broken are told apart; one capture is kept of each new failure", async () => {
    await failing("exit 4");
    const reran = await thaw(["rerun", "latest", "-n", "3"]);
    // Without a terminal each run is a line of its own.
    for (const line of ["1/3", "2/3", "3/3"])
      expect(String(reran.stderr)).toMatch(new RegExp(`^thaw: ${line}  .* after `, "m"));
    const broken = String(reran.stdout);
    expect(broken).toMatch(/^3 of 3 failed · broken: 100 % \(95 %: 44–100 %\)\n/);
    expect(broken).toMatch(/3 +exited 4 /);
    const before = (await list()).length;
    const passes = String((await thaw(["rerun", "latest", "-n", "2", "--", "true"])).stdout);
    expect(passes).toMatch(/^0 of 2 failed · passes/);
    const other = await thaw([
      "rerun",
      "latest",
      "-n",
      "4",
      "-j",
      "2",
      "--",
      "sh",
      "-c",
      "echo other; exit 8",
    ]);
    expect(String(other.stdout)).toMatch(/4 +exited 8 .*fail-\w{6}/);
    expect(await list()).toHaveLength(before + 1);
    expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
  });

  test("the workspace is there in each run, as it was before the command", async () => {
    writeFileSync(join(folder, "state"), "fresh");
    await failing("cat state; echo used > state; exit 1", "--workspace", folder);
    const again = await thaw([
      "rerun",
      "latest",
      "-n",
      "2",
      "--json",
      "--",
      "sh",
      "-c",
      "[ $(cat state) = fresh ]",
    ]);
    expect(JSON.parse(String(again.stdout))).toMatchObject({
      before: "workspace",
      failed: 0,
      verdict: "passes",
    });
  });

  test("a checkpoint is the state before the command, whatever had run; without one it is not known", async () => {
    await thaw(["create", "--name", "web"]);
    await thaw(["exec", "web", "--", "sh", "-c", "echo one > /dev/shm/n"]);
    await thaw(["exec", "--capture", "on-failure", "web", "--", "sh", "-c", "exit 1"]);
    const unknown = await thaw(["rerun", "latest"]);
    expect([unknown.exitCode, String(unknown.stderr)]).toEqual([
      125,
      expect.stringMatching(/not known\nhint: .*--checkpoint/),
    ]);
    await thaw([
      "exec",
      "--capture",
      "on-failure",
      "--checkpoint",
      "web",
      "--",
      "sh",
      "-c",
      "cat /dev/shm/n; echo two > /dev/shm/n; exit 1",
    ]);
    const again = await thaw([
      "rerun",
      "latest",
      "-n",
      "2",
      "--json",
      "--",
      "grep",
      "-q",
      "one",
      "/dev/shm/n",
    ]);
    expect(JSON.parse(String(again.stdout))).toMatchObject({ before: "checkpoint", failed: 0 });
  });
});
