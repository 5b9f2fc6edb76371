/** The dashboard in a real terminal, with real machines. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const failing = ["run", "--capture", "on-failure", "--", "sh", "-c", "echo broken; exit 3"];
  expect((await thaw(failing)).exitCode).toBe(3);
});
afterAll(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

async function settings(terminal: Terminal): Promise<string> {
  return execFileSync("stty", ["-a", "-F", `/proc/${await terminal.shellPid()}/fd/0`], { encoding: "utf8" });
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
  await terminal.press("n", "Tab", "Tab");
  await terminal.until("$ thaw create");
  await terminal.type("formed");
  await terminal.until(/▌ formed +running/);
  await terminal.press("d");
  await terminal.until("Remove formed?");
  await terminal.press("y");
  await terminal.until("formed was removed");
  await terminal.press("!");
  await terminal.until("✓ thaw create --name formed");
  await terminal.until("✓ thaw rm copy-1");
  await terminal.press("q");
  await terminal.until("▌ web");
  await terminal.press("q");
  await terminal.until(alternateScreenLeft);
  // the size is among the settings
  await terminal.resize(80, 24);
  await until(async () => (await settings(terminal)) === before, "the terminal's settings to be as before");
});

test("a failure is stood in by Enter, and run again: its bar, its verdict", async () => {
  await using terminal = await Terminal.open();
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  await terminal.press("2");
  await terminal.until(/▌ fail-\w+/);
  await terminal.press("Enter");
  // what it says before the shell's prompt
  await terminal.until(/[#$] $/m);
  await terminal.type("echo in $((6*7))");
  await terminal.until(/^in 42/m);
  await terminal.type("exit");
  await terminal.until(/▌ fail-\w+/);
  await terminal.press("n", "C-u", "2", "Enter");
  await terminal.until(/Rerun .*2\/2 +failed 2/);
  await terminal.until(/broken: 100 % of the runs failed/);
  await terminal.press("!");
  await terminal.until(/✓ thaw rerun fail-\w+ -n 2/);
  await terminal.press("Escape", "1");
  await terminal.until(/▌ web/);
  await terminal.press("q");
  await terminal.until(/^host> $/m);
});

test("programs of the whole screen inside, in a terminal that changes its size; back, the dashboard has the new one", async () => {
  await using terminal = await Terminal.open();
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  await terminal.press("1");
  await terminal.until(/▌ web +running/);
  await terminal.press("s");
  await terminal.until(/[#$] $/m);
  await terminal.type("watch -t -n 0.3 'stty size < /dev/tty'");
  await terminal.until(/^24 80$/m);
  expect(await terminal.ask("#{alternate_on}")).toBe("1");
  for (const [cols, rows] of [
    [61, 16],
    [133, 41],
    [20, 6],
    [100, 30],
  ] as const)
    await terminal.resize(cols, rows);
  await terminal.until(/^30 100$/m);
  await terminal.press("C-c");
  await terminal.until(/[#$] $/m);
  await terminal.type("top");
  await terminal.until(/load average/);
  await terminal.press("q");
  // A program that ends throws away what was typed before that.
  await terminal.until(/[#$] $/m);
  await terminal.type("echo here $((6*7))");
  await terminal.until(/^here 42/m);
  await terminal.press("C-]");
  await terminal.until(/▌ web +running/);
  await until(async () => /q quit$/.test((await terminal.rows())[29] ?? ""), "the last row to be drawn");
  await terminal.press("q");
  await terminal.until(/^host> $/m);
  expect(await terminal.ask("#{alternate_on} #{wrap_flag} #{cursor_flag} #{mouse_any_flag}")).toBe("0 1 1 0");
});

test("vim, less and htop inside; who detaches from one finds it as it was, and the list at the same row", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-screen-"));
  const recipe = join(folder, "screen.yaml");
  writeFileSync(
    recipe,
    "name: screen\nfrom: debian:bookworm\npackages: [htop, less, vim-tiny]\nresources: { cpus: 1, memory: 256M, disk: 2G }\n",
  );
  try {
    expect((await thaw(["create", "--template", recipe, "--name", "edit"])).exitCode).toBe(0);
    // the newest is the first
    expect((await thaw(["create", "--name", "newer"])).exitCode).toBe(0);
    await using terminal = await Terminal.open();
    const isAtItsRow = /^ {3}newer .*\n ▌ edit .*\n {3}web /m;
    await terminal.type("thaw");
    await terminal.until("1 Sandboxes");
    await terminal.press("1");
    await terminal.until(/▌ newer +running/);
    await terminal.press("j");
    await terminal.until(isAtItsRow);
    await terminal.press("Enter");
    await terminal.until(/[#$] $/m);
    await terminal.type("vim.tiny note");
    await terminal.until('"note" [New]');
    await terminal.press("i");
    await terminal.type("one ω 日本 line");
    await terminal.until(/^one ω 日本 line\n\n~/m);
    await terminal.press("C-]");
    await terminal.until(isAtItsRow);
    await terminal.press("Enter");
    await terminal.until(/^one ω 日本 line\n\n~[\s\S]*INSERT/m);
    await terminal.type("another");
    await terminal.press("Escape");
    await until(async () => !(await terminal.screen()).includes("INSERT"), "vim's command mode");
    await terminal.type(":wq");
    await terminal.until(/[#$] $/m);
    expect((await thaw(["exec", "edit", "--", "cat", "note"])).stdout).toBe("one ω 日本 line\nanother\n\n");
    await terminal.type("seq 1000 | less");
    await terminal.until(/^23\n:/m);
    await terminal.press("G");
    await terminal.until(/^1000\n\(END\)/m);
    await terminal.press("q");
    await terminal.until(/[#$] $/m);
    await terminal.type("htop");
    await terminal.until(/F10Quit/);
    await terminal.press("q");
    await terminal.until(/[#$] $/m);
    await terminal.press("C-]");
    await terminal.until(isAtItsRow);
    await terminal.press("q");
    await terminal.until(/^host> $/m);
    expect(await terminal.ask("#{alternate_on} #{wrap_flag} #{cursor_flag} #{keypad_flag}")).toBe("0 1 1 0");
  } finally {
    rmSync(folder, { recursive: true });
    expect((await thaw(["rm", "edit", "newer"])).exitCode).toBe(0);
  }
});

test("a guest that writes as fast as it can: keys are heard, its last lines are seen, memory is bounded", async () => {
  expect((await thaw(["create", "--name", "flood"])).exitCode).toBe(0);
  try {
    await using terminal = await Terminal.open();
    await terminal.type("thaw");
    await terminal.until("1 Sandboxes");
    await terminal.press("1");
    await terminal.until(/▌ flood +running/);
    // many lines, then one that has no end
    const script =
      "yes | head -c 100000000; head -c 40000000 /dev/zero | tr '\\0' x; echo; echo 'it is over'";
    expect((await thaw(["exec", "-d", "flood", "--", "sh", "-c", script])).exitCode).toBe(0);
    await terminal.until(/:\d\d [yxi]/);
    await terminal.press("?");
    await terminal.until("Keys in Sandboxes");
    await terminal.press("Escape", "j");
    await terminal.until(/▌ web +running[\s\S]*── web/);
    await terminal.press("k");
    await terminal.until(/:\d\d it is over *\n.*exited 0/);
    // A frame may be on its way.
    await until(async () => {
      const rows = await terminal.rows();
      return /^ 1 Sandboxes .* ●$/.test(rows[0] ?? "") && /q quit$/.test(rows[23] ?? "");
    }, "the frame to be whole");
    const status = readFileSync(`/proc/${await terminal.programPid()}/status`, "utf8");
    expect(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(400_000);
    await terminal.press("q");
    await terminal.until(/^host> $/m);
  } finally {
    expect((await thaw(["rm", "flood"])).exitCode).toBe(0);
  }
});

test("each of the 256 values of a byte passes both ways", async () => {
  // a terminal of its own, whose bytes nobody interprets; what it is told to write is written as it is
  const dashboard = `stty -opost; "${process.execPath}" ${thawBin}`;
  const child = execa("script", ["-qfec", dashboard, "/dev/null"], {
    ...{ env: { ...thawEnv(), TERM: "xterm" }, encoding: "buffer", reject: false, buffer: false },
  });
  let written = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => {
    written += text;
  });
  const shows = (wanted: RegExp, what: string): Promise<void> => until(() => wanted.test(written), what);
  const bar = Buffer.from(" ▌").toString("latin1");
  await shows(new RegExp(`${bar} +web`), "the list");
  child.stdin.write("s");
  await shows(/Ctrl-\] leaves[\s\S]*[#$] $/, "a prompt");
  child.stdin.write(
    "stty raw -echo; printf 'g%s' o:; head -c 256 > /tmp/in; cat /tmp/in; printf ':e%s' nd; stty sane\r",
  );
  await shows(/go:$/, "the reader inside");
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const detach = 0x1d;
  // the key that leaves is sent by pressing it twice
  child.stdin.write(Buffer.concat([all.subarray(0, detach), Buffer.of(detach), all.subarray(detach)]));
  await shows(/go:[\s\S]*:end/, "the bytes");
  const back = /go:([\s\S]*):end/.exec(written)?.[1] ?? "";
  expect(Buffer.from(back, "latin1").toString("hex")).toBe(all.toString("hex"));
  written = "";
  child.stdin.write(Buffer.of(detach));
  await shows(new RegExp(`${bar} +web`), "the list again");
  child.stdin.write("q");
  expect((await child).exitCode).toBe(0);
});

test.each([
  ["SIGINT", 130],
  ["SIGHUP", 129],
  ["SIGTERM", 143],
  ["SIGKILL", 137],
] as const)("%s: the terminal is as it was", async (signal, code) => {
  await using terminal = await Terminal.open();
  const before = await settings(terminal);
  await terminal.type("thaw");
  await terminal.until("1 Sandboxes");
  // the watcher over the terminal is there once keys are read
  await terminal.press("?");
  await terminal.until("Keys in");
  process.kill(await terminal.programPid(), signal);
  await until(async () => !(await terminal.screen()).includes("Keys in"), "the alternate screen to be left");
  await terminal.type("echo code=$?");
  // At its prompt the shell has put its own.
  await terminal.until(new RegExp(`^code=${code}\\nhost> $`, "m"));
  expect(await settings(terminal)).toBe(before);
  expect(await terminal.ask("#{alternate_on} #{wrap_flag} #{cursor_flag}")).toBe("0 1 1");
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
  ["thaw", "60 × 15, but this one has 50 × 12"],
])("%s where it can't be shown: exit 2", async (command, why) => {
  await using terminal = await Terminal.open();
  if (!command.startsWith("TERM")) await terminal.resize(50, 12);
  await terminal.type(`${command}; echo code=$?`);
  const screen = await terminal.until("code=2");
  expect(screen.replaceAll("\n", "")).toContain(why);
});
