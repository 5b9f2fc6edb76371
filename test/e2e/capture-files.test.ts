import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fileInTar } from "../helpers/tar.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";

interface CaptureRow {
  id: string;
  disk: { writtenOut: boolean; asOf: string | null };
  processes: { state: string; command: string }[];
}

const folder = mkdtempSync(join(tmpdir(), "thaw-capture-files-"));
const builds = () => join(testHome(), "builds");
const show = (reference = "latest") => thawJson<CaptureRow>(["capture", "show", reference]);
const commands = async () => (await show()).processes.map(({ command }) => command);
const cp = async (...args: string[]) => {
  const { stdout, stderr, exitCode } = await thaw(["cp", ...args]);
  return { stdout: String(stdout), stderr: String(stderr), exitCode };
};
/** A file of a capture, out of the archive that comes. */
const print = async (...args: string[]) => {
  const printed = await cp(...args, "-");
  return { ...printed, stdout: fileInTar(printed.stdout) };
};
const files = async (path: string, reference = "latest") => {
  const { stdout, stderr, exitCode } = await thaw(["replay", reference, "--level", "files", path]);
  return { stdout: String(stdout), stderr: String(stderr), exitCode };
};
const failing = (script: string, ...flags: string[]) =>
  thaw(["run", "--capture", "always", ...flags, "--", "sh", "-c", script]);

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  await thaw(["rm", "--all"]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("files of a capture are those of the failure", () => {
  test("of its memory, and of its disk: overwritten, removed, just made, never synced", async () => {
    await thaw(["create", "--name", "o"]);
    await thaw(["exec", "o", "--", "sh", "-c", "echo old > /root/f; echo g > /root/gone; sync"]);
    await thaw([
      ...["exec", "--capture", "always", "o", "--", "sh", "-c"],
      "echo NEW > /root/f; rm /root/gone; mkdir /root/made; echo just > /root/made/now; echo shm > /dev/shm/m; exit 1",
    ]);
    const { id, disk } = await show();
    expect(disk.writtenOut).toBe(true);
    expect(String((await thaw(["capture", "ls", "-q"])).stdout).split("\n")).toContain(id);
    expect(await print("--verbose", `${id}:/root/f`)).toEqual({
      stdout: "NEW\n",
      stderr: "read from the machine as it was, thawed for it\n",
      exitCode: 0,
    });
    expect((await print("latest:/dev/shm/m")).stdout).toBe("shm\n");
    const { socket } = await thawJson<{ socket: string }>(["daemon", "status"]);
    const url = `http://thaw/v1/captures/${id}/tree?path=/root/made`;
    const asTar = ["--unix-socket", socket, "-sf", "-H", "accept: application/x-tar", url];
    const input = execFileSync("curl", asTar);
    expect(execFileSync("tar", ["-xO", "made/now"], { input }).toString()).toBe("just\n");
    expect((await cp("latest:/root/gone", "-")).stderr).toMatch(/there is no \/root\/gone in fail-/);
    expect((await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name)).toEqual(["o"]);

    const listed = await files("/root/made");
    expect(listed).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/ 5 B +now\n$/) });
    expect(listed.stderr).not.toMatch(/before the failure/);
    expect((await files("/root")).stdout).not.toMatch(/gone/);
    expect(await files("/dev/shm")).toMatchObject({
      exitCode: 2,
      stdout: "",
      stderr: expect.stringMatching(/\/dev\/shm is in the machine's memory only/),
    });
    expect(await files("/root/f/x")).toMatchObject({ exitCode: 2, stdout: "" });
    const booted = await thaw([
      "replay",
      id,
      "--level",
      "disk",
      "--",
      "sh",
      "-c",
      "cat /root/f /root/made/now",
    ]);
    expect(booted.stdout).toBe("NEW\njust\n");
  }, 240_000);

  test("a folder from memory: links, modes and holes are as they were; nothing leaves the destination", async () => {
    await failing(
      "mkdir -p /srv/out/deep; cd /srv/out; echo r > deep/r.xml; ln -s deep/r.xml link; ln -s /etc/passwd away; mkfifo pipe; truncate -s 1G deep/sparse; chmod 750 deep; exit 1",
    );
    const out = join(folder, "out");
    const copied = await cp("latest:/srv/out", out);
    expect(copied.exitCode).toBe(1);
    expect(copied.stderr).toMatch(/not copied: .*pipe/);
    expect(readFileSync(join(out, "link"), "utf8")).toBe("r\n");
    expect(existsSync(join(out, "away"))).toBe(false);
    expect(lstatSync(join(out, "deep")).mode & 0o777).toBe(0o750);
    expect(lstatSync(join(out, "deep", "sparse")).blocks).toBeLessThan(1000);
    expect(readdirSync(out).sort()).toEqual(["deep", "link"]);
  });

  test("a panic: what was synced is there, the rest is said to be of an unknown moment", async () => {
    await failing(
      "echo safe > /root/safe; sync /root/safe; echo lost > /root/lost; echo c > /proc/sysrq-trigger",
    );
    const { id, disk } = await show();
    expect(disk.writtenOut).toBe(false);
    expect(await print("--verbose", `${id}:/root/safe`)).toEqual({
      stdout: "safe\n",
      stderr: expect.stringMatching(
        /^read from its disk: its kernel panicked.*\nthaw: its disk is as of up to .* before the failure: /,
      ),
      exitCode: 0,
    });
    expect((await files("/root", id)).stderr).toMatch(/before the failure/);
    const booted = await thaw(["replay", id, "--", "cat", "/root/safe"]);
    expect([booted.stdout, String(booted.stderr)]).toEqual([
      "safe\n",
      expect.stringMatching(/its disk is as of up to .* before the failure/),
    ]);
    const file = join(folder, "disk-only.tar");
    const exported = await thaw(["capture", "export", id, file, "--disk-only"]);
    expect([exported.exitCode, String(exported.stderr)]).toEqual([
      0,
      expect.stringMatching(/its disk is as of up to .* before the failure/),
    ]);
    expect((await thaw(["capture", "rm", id])).exitCode).toBe(0);
  }, 240_000);

  test("two runs of one command are compared, their files too", async () => {
    const script =
      "echo start; echo $WHAT >/root/f; mkdir -p /root/d; test -z $MORE || touch /root/d/more; sleep 30 & $WHAT";
    const run = (...env: string[]) => failing(script, ...env.flatMap((each) => ["--env", each]));
    expect((await run("WHAT=true")).exitCode).toBe(0);
    const good = await show();
    expect((await run("WHAT=false", "MORE=1")).exitCode).toBe(1);
    const { id } = await show();
    // the one that went well is found by its command
    const { stdout, exitCode } = await thaw(["capture", "diff", id, "--files", "/root", "--json"]);
    expect(exitCode).toBe(1);
    const { a, b, firstDifference, sections } = JSON.parse(String(stdout));
    expect([a, b]).toEqual([id, good.id]);
    expect(firstDifference).toMatchObject({ section: "Environment", mark: "only-a", a: "MORE" });
    const marks = Object.fromEntries(
      sections.map(({ title, rows }: { title: string; rows: { mark: string; name?: string }[] }) => [
        title,
        rows.filter(({ mark }) => mark !== "same").map(({ mark, name }) => `${mark} ${name ?? ""}`),
      ]),
    );
    expect(marks).toMatchObject({
      "Last lines": [],
      "Files in /root": ["only-a /root/d/more", "changed /root/f"],
    });
    const told = await thaw(["capture", "diff", id, good.id]);
    expect(told.stdout).toMatch(
      /^» - MORE$.*ended: exited 1.*ended: exited 0.*first difference: Environment/ms,
    );
    expect((await thaw(["capture", "diff", id, id])).exitCode).toBe(0);
  }, 240_000);

  test("a daemon that is killed while it reads leaves no machine", async () => {
    await failing("echo x > /root/x; exit 1");
    expect((await print("latest:/root/x")).stdout).toBe("x\n");
    expect(readdirSync(builds()).length).toBeGreaterThan(0);
    await killDaemon();
    expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
    await until(() => readdirSync(builds()).length === 0, "what was half open to go");
    expect((await print("latest:/root/x")).stdout).toBe("x\n");
  });
});

describe("processes of a capture", () => {
  test("after an exit: the command that ended, and what it left running", async () => {
    await failing("sleep 777 >/dev/null 2>&1 & exit 3");
    const { processes } = await show();
    expect(processes).toContainEqual(
      expect.objectContaining({ state: "X", command: "sh -c sleep 777 >/dev/null 2>&1 & exit 3" }),
    );
    expect(await commands()).toContain("sleep 777");
    expect(String((await thaw(["capture", "show", "latest"])).stdout)).toMatch(/\d+ ended sh -c sleep 777/);
  });

  test("after a timeout: its tree, alive", async () => {
    expect((await failing("sleep 888; true", "--timeout", "4s")).exitCode).toBe(124);
    expect(await commands()).toEqual(expect.arrayContaining(["sh -c sleep 888; true", "sleep 888"]));
    expect((await show()).disk.writtenOut).toBe(true);
  });
});
