/** The dashboard in a real terminal, with real machines. */
import { execFileSync } from "node:child_process";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { killDaemon, thaw, thawBin, thawEnv, until } from "../helpers/thaw.ts";
import { Terminal } from "../helpers/tmux.ts";

const alternateScreenLeft = "host>";

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
  const script =
    "i=0; while sleep 0.2; do i=$((i+1)); printf 'tick %s \\033[2J\\033]0;owned\\007end\\n' $i; done";
  expect((await thaw(["exec", "-d", "web", "--", "sh", "-c", script])).exitCode).toBe(0);
});
afterAll(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

async function settings(terminal: Terminal): Promise<string> {
  return execFileSync("stty", ["-a", "-F", `/proc/${await terminal.shellPid()}/fd/0`], { encoding: "utf8" });
}

async function dashboardPid(terminal: Terminal): Promise<number> {
  const { stdout } = await execa("pgrep", ["-P", String(await terminal.shellPid())]);
  return Number(stdout.split("\n")[0]);
}

test("browse, pause, a shell and back, a daemon that is killed, quit: the terminal is as it was", async () => {
  await using terminal = await Terminal.open();
  const before = await settings(terminal);
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  await terminal.press("1");
  await terminal.until(/▌ web +running/);
  // the log as it comes, without what it would do to the terminal
  expect(await terminal.until(/tick \d+ end\n/)).not.toContain("owned");
  await terminal.press("p");
  await terminal.until(/▌ web +paused/);
  await terminal.press("p");
  await terminal.until(/▌ web +running/);
  await terminal.press("Enter");
  await terminal.until("Ctrl-] leaves");
  await terminal.type("echo $((6*7)); stty size");
  await terminal.until(/^42\r?\n24 80/m);
  await terminal.press("C-]");
  await terminal.until(/▌ web +running/);
  await terminal.resize(120, 40);
  await terminal.until(/▌ web +running +base +emulated|▌ web +running +base +kvm/);
  await killDaemon();
  // it is started again, and what happens from then on is seen
  expect((await thaw(["fork", "web", "--name", "copy"])).exitCode).toBe(0);
  await terminal.until(/copy-1 +running/);
  await terminal.press("d");
  await terminal.until("Remove copy-1?");
  await terminal.press("y");
  await terminal.until("copy-1 was removed");
  await terminal.press("!");
  await terminal.until("✓ thaw rm copy-1");
  await terminal.press("q");
  await terminal.until("▌ web");
  await terminal.press("q");
  await terminal.until(alternateScreenLeft);
  // the size is among the settings
  await terminal.resize(80, 24);
  await until(async () => (await settings(terminal)) === before, "the terminal's settings to be as before");
});

test.each([
  ["SIGTERM", 143],
  ["SIGKILL", 137],
] as const)("%s: the terminal is as it was", async (signal, code) => {
  await using terminal = await Terminal.open();
  const before = await settings(terminal);
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  // the watcher over the terminal is there once keys are read
  await terminal.press("5");
  await terminal.until("CONTEXT");
  process.kill(await dashboardPid(terminal), signal);
  await until(async () => !(await terminal.screen()).includes("CONTEXT"), "the alternate screen to be left");
  await terminal.type("echo code=$?");
  await terminal.until(`code=${code}`);
  expect(await settings(terminal)).toBe(before);
});

test("Ctrl-Z gives the terminal to the shell, fg brings the dashboard back", async () => {
  await using terminal = await Terminal.open();
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  // the last view is remembered
  await terminal.press("1");
  await terminal.until(/▌ web/);
  await terminal.press("C-z");
  await terminal.until("Stopped");
  await terminal.type("fg");
  await terminal.until(/▌ web/);
  await terminal.press("C-c");
  await terminal.until(alternateScreenLeft);
});

test("without a terminal it says what to use, and ends with 2", async () => {
  const { exitCode, stderr } = await execa(process.execPath, [thawBin], { env: thawEnv(), reject: false });
  expect(exitCode).toBe(2);
  expect(stderr).toContain("thaw ls");
});

test.each([
  ["TERM=dumb thaw", "TERM is dumb"],
  ["thaw", "60 × 15, and this one has 50 × 12"],
])("%s where it can't be shown: exit 2", async (command, why) => {
  await using terminal = await Terminal.open();
  if (!command.startsWith("TERM")) await terminal.resize(50, 12);
  await terminal.type(`${command}; echo code=$?`);
  const screen = await terminal.until("code=2");
  expect(screen.replaceAll("\n", "")).toContain(why);
});
