/** The command in a real terminal. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { killDaemon, thaw, thawBin, thawEnv, thawJson, until } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
});
afterAll(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

interface ExecRow {
  id: string;
  state: string;
  tty: boolean;
}
const execs = async (): Promise<ExecRow[]> =>
  (await thawJson<{ execs: ExecRow[] }[]>(["ls"])).flatMap((sandbox) => sandbox.execs);
const running = async (): Promise<string[]> =>
  (await execs()).filter(({ state }) => state === "running").map(({ id }) => id);

/** The terminal's settings, as its shell's own terminal has them. */
async function settings(terminal: Terminal): Promise<string> {
  const pid = await terminal.shellPid();
  return execFileSync("stty", ["-a", "-F", `/proc/${pid}/fd/0`], { encoding: "utf8" });
}

/** The process that was started from the terminal's shell. */
async function childOf(terminal: Terminal): Promise<number> {
  const { stdout } = await execa("pgrep", ["-P", String(await terminal.shellPid())]);
  return Number(stdout.split("\n")[0]);
}

describe("thaw shell", () => {
  test("sizes, Ctrl-C, leaving, coming back, the exit code; the terminal as before", async () => {
    await using terminal = await Terminal.open();
    const before = await settings(terminal);
    await terminal.type("thaw shell web");
    await terminal.until("Ctrl-] leaves, twice sends it");
    await terminal.until(/[#$] $/m);
    expect(await settings(terminal)).not.toBe(before);
    await terminal.type("stty size");
    await terminal.until("24 80");
    await terminal.resize(100, 30);
    await until(async () => {
      await terminal.type("stty size");
      return (await terminal.screen()).includes("30 100");
    }, "the size to follow");
    await terminal.type("sleep 600; echo woken with $?");
    await terminal.until(/^.*sleep 600.*\n/m);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await terminal.press("C-c");
    await terminal.type("echo interrupted=$?");
    await terminal.until("interrupted=130");
    await terminal.type("echo twice; cat -v");
    await terminal.until(/^twice$/m);
    await terminal.press("C-]", "C-]");
    await terminal.until("^]");
    await terminal.press("C-c");
    await terminal.type("echo remember-$((40 + 2))");
    await terminal.until("remember-42");
    await terminal.press("C-]");
    await terminal.until(/runs on · thaw attach web \w+/);
    await terminal.until(/host> $/m);
    await terminal.resize(80, 24);
    // The size is among them.
    await until(async () => (await settings(terminal)) === before, "the terminal's settings to be as before");
    expect(await running()).toHaveLength(1);
    await terminal.clear();
    await terminal.type("clear; thaw shell web --exec");
    await terminal.until("remember-42");
    await terminal.type("stty size; exit 7");
    await terminal.until("24 80");
    await terminal.until(/host> $/m);
    await terminal.type("echo ended=$?");
    // At its prompt the shell has put its own.
    await terminal.until(/^ended=7\nhost> $/m);
    expect(await settings(terminal)).toBe(before);
    expect(await running()).toEqual([]);
  });

  test.each(["SIGTERM", "SIGHUP", "SIGKILL"] as const)(
    "ended by %s: the terminal as before, the shell runs on",
    async (signal) => {
      await using terminal = await Terminal.open();
      const before = await settings(terminal);
      await terminal.type("thaw shell web; echo over=$?");
      await terminal.until(/[#$] $/m);
      expect(await settings(terminal)).not.toBe(before);
      process.kill(await childOf(terminal), signal);
      await terminal.until(/over=\d+/);
      // The shell puts its own at every prompt, on top of what it finds.
      await until(async () => {
        await terminal.press("Enter");
        return (await settings(terminal)) === before;
      }, "the terminal to be put back");
      const [exec = ""] = await running();
      expect(exec).not.toBe("");
      await thaw(["exec", "web", "--", "sh", "-c", "kill -9 -1"]);
      await until(async () => (await running()).length === 0, "the shell to end");
    },
  );

  test("a daemon that is killed: the shell goes on where it was", async () => {
    await using terminal = await Terminal.open();
    await terminal.type("thaw shell web");
    await terminal.until(/[#$] $/m);
    await terminal.type("kept=yes");
    await killDaemon();
    await terminal.type("echo still-$kept");
    await terminal.until("still-yes");
    await terminal.type("exit");
    await terminal.until(/host> $/m);
  });

  test("of a sandbox that was paused: what is typed wakes it, and Ctrl-C too", async () => {
    await using terminal = await Terminal.open();
    await terminal.type("thaw shell web");
    await terminal.until(/[#$] $/m);
    expect((await thaw(["pause", "web"])).exitCode).toBe(0);
    await terminal.type("echo awake-$((6 * 7))");
    await terminal.until("awake-42");
    await terminal.type("exit");
    await terminal.until(/host> $/m);
    const asleep = thaw(["exec", "web", "--", "sleep", "600"]);
    await until(async () => (await running()).length === 1, "the command to run");
    expect((await thaw(["pause", "web"])).exitCode).toBe(0);
    asleep.kill("SIGINT");
    expect((await asleep).exitCode).toBe(130);
  });

  test("needs a terminal, and says so", async () => {
    expect(await thaw(["shell", "web"], { input: "" })).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("needs a terminal"),
    });
  });
});

test("what is typed while a client leaves is the shell's", async () => {
  await using terminal = await Terminal.open();
  const typed = join(mkdtempSync("/tmp/thaw-typed-"), "typed");
  const rounds = [1, 2, 3, 4, 5];
  for (const round of rounds) {
    await terminal.type("clear; thaw exec -it web -- sleep 600");
    await terminal.until("Ctrl-] leaves");
    await terminal.press("C-]");
    await terminal.typeOn("runs on", `echo ${round} >> ${typed}`);
    const isTyped = () => existsSync(typed) && readFileSync(typed, "utf8").endsWith(`${round}\n`);
    await until(isTyped, "the shell to have read it");
  }
  expect(readFileSync(typed, "utf8").trim().split("\n").map(Number)).toEqual(rounds);
  rmSync(dirname(typed), { recursive: true });
  await thaw(["exec", "web", "--", "sh", "-c", "kill -9 -1"]);
  await until(async () => (await running()).length === 0, "the last of them to end");
});

describe("several on one exec", () => {
  test("one writes, others watch; --takeover swaps them and says so", async () => {
    await using first = await Terminal.open();
    await using second = await Terminal.open();
    await first.type("thaw exec -it web -- sh -c 'cat -u; exit 3'");
    await first.until("Ctrl-] leaves");
    await second.type("thaw attach web");
    await second.until(/writes; you watch \(--takeover to write\)/);
    await first.type("from the first");
    await second.until("from the first");
    await second.type("unheard");
    await first.type("still the first");
    await second.until("still the first");
    expect(await first.screen()).not.toContain("unheard");
    await second.press("C-]");
    await second.until("runs on");
    await second.type("thaw attach web --takeover; echo over=$?");
    await first.until("has taken over; you watch now");
    await second.type("from the second");
    await first.until("from the second");
    await first.type("lost words");
    await second.press("C-d");
    await second.until("over=3");
    await first.until(/host> $/m);
    expect(await second.screen()).not.toContain("lost words");
  });

  test("a watcher that does not read holds nobody up", async () => {
    const reading = "until [ -e /watched ]; do sleep 0.1; done";
    const { stdout: exec } = await thaw([
      ...["exec", "-d", "web", "--"],
      ...["sh", "-c", `echo begun; ${reading}; head -c 40000000 /dev/zero | tr '\\0' x; echo; echo done`],
    ]);
    const id = String(exec).trim();
    const watcher = execa(process.execPath, [thawBin, "attach", "web", id, "--watch"], {
      env: thawEnv(),
      reject: false,
      maxBuffer: 1 << 27,
    });
    if (watcher.stdout) await once(watcher.stdout, "data");
    watcher.kill("SIGSTOP");
    expect((await thaw(["exec", "web", "--", "touch", "/watched"])).exitCode).toBe(0);
    await until(
      async () => (await execs()).some((row) => row.id === id && row.state === "exited"),
      "the exec to end",
    );
    watcher.kill("SIGCONT");
    const { stdout, exitCode } = await watcher;
    expect(exitCode).toBe(0);
    expect(String(stdout).trimEnd()).toMatch(/done$/);
  });
});

test("attach without a terminal shows the past, then what comes, and has the exit code", async () => {
  const started = await thaw([
    "exec",
    "-d",
    "web",
    "--",
    "sh",
    "-c",
    "echo past; sleep 2; echo to come; exit 4",
  ]);
  const id = String(started.stdout).trim();
  expect(await thaw(["attach", "web", id.slice(0, 7)])).toMatchObject({
    stdout: "past\nto come\n",
    exitCode: 4,
  });
  expect(await thaw(["attach", "web", id])).toMatchObject({ stdout: "past\nto come\n", exitCode: 4 });
  const none = await thaw(["attach", "web"]);
  expect([none.exitCode, String(none.stderr)]).toEqual([2, expect.stringContaining("no exec that runs")]);
});

test("attach -i with input that ends in the middle of a line ends a terminal's program", async () => {
  await using terminal = await Terminal.open();
  await terminal.type("thaw exec -it web -- sh -c 'cat; echo over; sleep 600'");
  await terminal.until("Ctrl-] leaves");
  await terminal.press("C-]");
  await terminal.until("runs on");
  const [exec = ""] = await running();
  const attached = thaw(["attach", "-i", "web", exec], { input: "half" });
  await until(async () => String((await thaw(["logs", "web", exec])).stdout).includes("over"), "cat to end");
  await thaw(["exec", "web", "--", "sh", "-c", "kill -9 -1"]);
  await attached;
});

test("a terminal that attaches to a command without one leaves with the keys and Enter, as it says", async () => {
  expect((await thaw(["create", "--name", "busy"])).exitCode).toBe(0);
  const forever = "while echo goes-on; do sleep 1; done";
  const { stdout } = await thaw(["exec", "-d", "busy", "--", "sh", "-c", forever]);
  const id = String(stdout).trim();
  await using terminal = await Terminal.open();
  await terminal.type(`thaw attach busy ${id}`);
  await terminal.until("Ctrl-] and Enter leave");
  await terminal.until("goes-on");
  await terminal.press("C-]");
  await terminal.press("Enter");
  await terminal.until("it runs on");
  expect(await running()).toContain(id);
  expect((await thaw(["rm", "busy"])).exitCode).toBe(0);
});

test("exec -it: other detach keys; a full-screen program left in the middle leaves a usable screen", async () => {
  await using terminal = await Terminal.open();
  await terminal.type(
    `thaw exec -it --detach-keys ctrl-p,ctrl-q web -- sh -c 'printf "\\033[?1049h\\033[?25lfull %s" screen; sleep 600'`,
  );
  await terminal.until("full screen");
  await terminal.press("C-p", "C-q");
  const screen = await terminal.until(/host> $/m);
  expect(screen).not.toContain("full screen");
  expect(await running()).toHaveLength(1);
});

test("thaw top draws its table over itself, follows the terminal's size, and leaves with Ctrl-C", async () => {
  expect((await thaw(["create", "--name", "shown"])).exitCode).toBe(0);
  await using terminal = await Terminal.open();
  const settingsButSize = async () => (await settings(terminal)).replace(/^speed.*/, "");
  const before = await settingsButSize();
  await terminal.type("thaw top --sort name");
  await terminal.until(/^shown +running +\d+% /m);
  expect((await thaw(["pause", "shown"])).exitCode).toBe(0);
  const paused = await terminal.until(/^shown +paused /m);
  expect(paused.match(/^NAME /gm)).toHaveLength(1);
  expect(paused).not.toMatch(/^shown +running/m);
  await terminal.resize(30, 10);
  await until(async () => {
    const [host = "", header = "", ...rows] = await terminal.rows();
    const drawn = /^\d+ sandbox/.test(host) && /^NAME /.test(header);
    return drawn && rows.some((row) => /^shown +paused/.test(row)) && host.length <= 29;
  }, "the table at the top of the smaller screen, cut to it");
  await terminal.press("C-c");
  await terminal.until(/host> $/m);
  await terminal.type("echo left=$?");
  await terminal.until("left=130");
  expect(await settingsButSize()).toBe(before);
  expect((await thaw(["rm", "shown"])).exitCode).toBe(0);
});
