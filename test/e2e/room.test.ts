/** A disk without room: for the daemon, and for sandboxes that fill it. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { smallHome } from "../helpers/small-home.ts";
import { type SandboxRow, thaw, until } from "../helpers/thaw.ts";

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  await thaw(["daemon", "stop"]);
});

const NOISE = ["sh", "-c", "exec dd if=/dev/urandom of=/root/big bs=1M count=3000"];

describe.runIf(process.getuid?.() === 0)("on a small disk", () => {
  test("a sandbox that fills it is paused and says why; the others go on; it goes on by itself when there is room", async () => {
    await using home = await smallHome(440);
    const find = async (name: string) =>
      (await home.json<SandboxRow[]>("ls")).find((row) => row.name === name) as SandboxRow;
    for (const name of ["evil", "quiet"])
      expect((await home.thaw("create", "--name", name)).exitCode).toBe(0);
    // Somebody else takes this room and gives it back. It is enough, however far the sandbox gets before it is paused. It is not too much:
    // this disk is in memory, and what the sandbox writes there counts as its machine's memory.
    const filler = join(home.path, "filler");
    execFileSync("fallocate", ["-l", "128M", filler]);
    const writes =
      "for i in $(seq 20); do dd if=/dev/urandom of=/root/f$i bs=64k count=1 2>/dev/null; sync; sleep 0.3; done";
    const run = home.thaw("run", "--", "sh", "-c", `${writes}; echo whole`);
    const beside = home.thaw("exec", "quiet", "--", "sh", "-c", `${writes}; echo whole`);
    await until(async () => (await home.json<SandboxRow[]>("ls")).length === 3, "the run to start");
    expect((await home.thaw("exec", "-d", "evil", "--", ...NOISE)).exitCode).toBe(0);
    await until(async () => (await find("evil")).state === "paused", "the one that writes to be paused");
    expect((await find("evil")).reason).toMatch(
      /\d+ MB are free on the host's disk, 256 MB are reserved; .* thaw rm, thaw prune/,
    );
    // Half of what is kept free is still there.
    expect(home.freeMib()).toBeGreaterThan(128);
    expect((await find("quiet")).state).toBe("running");
    for (const said of [await run, await beside])
      expect([said.exitCode, said.stdout]).toEqual([0, "whole\n"]);
    const waiting = await home.thaw("exec", "evil", "--", "true");
    expect([waiting.exitCode, String(waiting.stderr)]).toEqual([
      125,
      expect.stringContaining("are reserved"),
    ]);

    const states = async (): Promise<string[]> => {
      const { stdout } = await home.thaw("events", "evil", "--json");
      return String(stdout)
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).type);
    };
    const count = (await states()).length;
    rmSync(filler);
    await until(
      // What the run leaves gives room, too.
      async () => /^(sandbox\.running,sandbox\.paused,?)+$/.test((await states()).slice(count).join()),
      "it to go on by itself, and to be paused again",
    );
    expect((await home.thaw("rm", "evil")).exitCode).toBe(0);
    expect((await home.thaw("exec", "quiet", "--", "true")).exitCode).toBe(0);
  });

  test("limits.sandbox.disk holds a sandbox at what it may have, also after a fork has cut its disk", async () => {
    await using home = await smallHome(1200);
    await home.thaw("daemon", "stop");
    writeFileSync(join(home.path, "config.yaml"), "limits:\n  sandbox:\n    disk: 96M\n");
    const find = async (name: string) =>
      (await home.json<SandboxRow[]>("ls")).find((row) => row.name === name) as SandboxRow;
    expect((await home.thaw("create", "--name", "big")).exitCode).toBe(0);
    const some = ["dd", "if=/dev/urandom", "of=/root/some", "bs=1M", "count=20"];
    expect((await home.thaw("exec", "big", "--", ...some)).exitCode).toBe(0);
    expect((await home.thaw("fork", "big", "-n", "1", "--name", "child")).exitCode).toBe(0);
    expect((await find("big")).state).toBe("running");
    const free = home.freeMib();
    expect((await home.thaw("exec", "-d", "big", "--", ...NOISE)).exitCode).toBe(0);
    await until(async () => (await find("big")).state === "paused", "it to be paused");
    expect((await find("big")).reason).toMatch(/its disk has \d+ MB, limits\.sandbox\.disk is 96 MB/);
    expect(free - home.freeMib()).toBeLessThan(300);
    expect((await find("child-1")).state).toBe("running");
  });

  test("full to the last byte: the daemon serves, and starts; rm frees; what was there goes on", async () => {
    await using home = await smallHome(420);
    const fill = () =>
      execFileSync("sh", [
        "-c",
        'for b in 1M 4k 1; do cat /dev/zero | dd of="$0/fill-$b" bs=$b 2>/dev/null || :; done',
        home.path,
      ]);
    for (const name of ["one", "two"]) expect((await home.thaw("create", "--name", name)).exitCode).toBe(0);
    expect((await home.thaw("exec", "one", "--", "sh", "-c", "echo precious > /root/v; sync")).exitCode).toBe(
      0,
    );
    const pid = await home.daemonPid();
    fill();
    expect(String((await home.thaw("ls")).stdout)).toMatch(/one .*two /s);
    // What a killed daemon would forget is not done.
    for (const verb of [
      ["pause", "two"],
      ["rename", "two", "other"],
      ["port", "two", "0:80"],
      ["network", "set", "two", "--allow", "example.com"],
    ]) {
      const refused = await home.thaw(...verb);
      expect([verb, refused.exitCode, String(refused.stderr)]).toEqual([
        verb,
        125,
        expect.stringContaining("the disk of the state folder is full"),
      ]);
    }
    // It goes on, unless it writes: then it is held until there is room.
    const two = (await home.json<SandboxRow[]>("ls")).find(({ name }) => name === "two");
    expect(`${two?.state} ${two?.reason}`).toMatch(
      /^running |^paused .* goes on by itself when there is room/,
    );
    process.kill(pid, "SIGKILL");
    await until(() => !existsSync(`/proc/${pid}`), "the daemon to die");
    fill();
    for (const verb of [["ls"], ["prune", "--dry-run"], ["quarantine", "ls"]]) {
      const said = await home.thaw(...verb);
      expect(said.exitCode, `${verb}: ${said.stderr}`).toBe(0);
    }
    expect(String((await home.thaw("doctor")).stdout)).toMatch(/; 0 MB of disk free/);
    const refused = await home.thaw("create", "--name", "three");
    expect([refused.exitCode, String(refused.stderr)]).toEqual([
      125,
      expect.stringMatching(/0 MB free under/),
    ]);
    const removed = await home.thaw("rm", "two");
    expect(removed.exitCode, String(removed.stderr)).toBe(0);
    expect(readdirSync(join(home.path, "sandboxes")).length).toBe(1);
    for (const size of ["1M", "4k", "1"]) rmSync(join(home.path, `fill-${size}`), { force: true });
    const [one] = await home.json<SandboxRow[]>("ls");
    expect(one?.name).toBe("one");
    const isHeld = async () => (await home.json<SandboxRow[]>("ls"))[0]?.state === "paused";
    await until(async () => !(await isHeld()), "what the full disk held to go on");
    const kept = await home.thaw("exec", "one", "--", "cat", "/root/v");
    expect([kept.exitCode, kept.stdout, kept.stderr]).toEqual([0, "precious\n", ""]);
  });
});
