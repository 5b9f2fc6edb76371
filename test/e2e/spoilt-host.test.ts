/** A host whose configuration has mistakes, or whose state folder can't be written: the daemon starts, and serves what needs neither. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { smallHome } from "../helpers/small-home.ts";
import { testHome } from "../helpers/test-home.ts";
import { daemonPid, killDaemon, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";

const config = () => join(testHome(), "config.yaml");

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterEach(async () => {
  rmSync(config(), { recursive: true, force: true });
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

describe("a config.yaml with mistakes", () => {
  test("ls, exec, prune, doctor and rm serve; what makes something names every mistake; mended, it counts at once", async () => {
    expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
    expect((await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "exit 3"])).exitCode).toBe(3);
    await killDaemon();
    writeFileSync(config(), "limits: { sandboxes: 1, memry: 1G }\ndefaults: { idle: soon }\n");
    // The run's machine may still be there: its daemon was killed while it stored the capture.
    const listed = async () => (await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name);
    expect(await listed()).toContain("web");
    await until(async () => (await listed()).length === 1, "the run's machine to be removed");
    expect((await thaw(["exec", "web", "--", "echo", "here"])).stdout).toBe("here\n");
    const pruned = await thaw(["prune"]);
    expect([pruned.exitCode, String(pruned.stderr)]).toEqual([0, expect.stringContaining("config.yaml")]);
    const mistakes = [
      /config\.yaml:1:25: limits\.memry: there is no such key/,
      /config\.yaml:2:13: defaults\.idle: /,
    ];
    const doctor = await thaw(["doctor"]);
    expect(doctor.exitCode).toBe(1);
    for (const mistake of mistakes) expect(doctor.stdout).toMatch(mistake);
    const refused = async (...verbs: string[][]) => {
      for (const verb of verbs) {
        const { exitCode, stderr } = await thaw(verb);
        expect(exitCode, verb.join(" ")).toBe(125);
        for (const mistake of mistakes) expect(stderr, verb.join(" ")).toMatch(mistake);
        expect(stderr).toMatch(/the next request reads it again/);
      }
    };
    const makers = [["create"], ["run", "--", "true"], ["fork", "web"], ["freeze", "web", "spoilt:1"]];
    await refused(
      ...makers,
      ["replay", "latest", "--", "true"],
      ["rerun", "latest"],
      ["template", "build", "base"],
    );
    const pid = await daemonPid();
    writeFileSync(config(), "limits: { sandboxes: 1 }\n");
    const full = await thaw(["create"]);
    expect(full.stderr).toMatch(/1 of 1 sandboxes are there/);
    writeFileSync(config(), "limits: { sandboxes: 2 }\n");
    expect((await thaw(["run", "--", "true"])).exitCode).toBe(0);
    expect(await daemonPid()).toBe(pid);
    writeFileSync(config(), "limits: { sandboxes: 1, memry: 1G }\ndefaults: { idle: soon }\n");
    await refused(["create"]);
    expect((await thaw(["rm", "web"])).exitCode).toBe(0);
    expect((await thaw(["capture", "rm", "latest"])).exitCode).toBe(0);
  });

  test.each([
    ["a syntax error", () => writeFileSync(config(), "limits: [1\n")],
    ["a folder in its place", () => mkdirSync(config())],
  ])("%s: the daemon starts", async (_name, spoil) => {
    await killDaemon();
    spoil();
    expect(await thawJson(["ls"])).toEqual([]);
    const { exitCode, stderr } = await thaw(["create"]);
    expect([exitCode, String(stderr)]).toEqual([
      125,
      expect.stringContaining("this host creates nothing until its configuration is corrected"),
    ]);
    expect((await thaw(["doctor"])).stdout).toMatch(/✗ config .*config\.yaml/);
  });
});

describe.runIf(process.getuid?.() === 0)("a sandbox whose folder can't be removed", () => {
  const rows = () => thawJson<SandboxRow[]>(["ls"]);
  const stateOf = async (name: string) => (await rows()).find((one) => one.name === name)?.state;

  async function refused(reason: RegExp): Promise<void> {
    const { exitCode, stderr } = await thaw(["rm", "web"]);
    expect([exitCode, String(stderr)]).toEqual([125, expect.stringMatching(/web is not removed yet: /)]);
    expect(stderr).toMatch(reason);
    expect(stderr).toMatch(/thaw keeps trying/);
    const row = (await rows()).find((one) => one.name === "web");
    expect(row).toMatchObject({ state: "removing", reason: expect.stringMatching(reason) });
    expect((await thaw(["exec", "other", "--", "echo", "here"])).stdout).toBe("here\n");
  }

  test("is removing, with the reason, also for the next daemon, and goes once it can; others go on", async () => {
    for (const name of ["web", "other"]) expect((await thaw(["create", "--name", name])).exitCode).toBe(0);
    const { id } = (await rows()).find(({ name }) => name === "web") ?? { id: "" };
    const folder = join(testHome(), "sandboxes", id);
    // As a file system that turns read-only when its disk fails; keepers and daemon have files open.
    execFileSync("mount", ["--bind", folder, folder]);
    try {
      execFileSync("mount", ["-o", "remount,bind,ro", folder]);
      await refused(/read-only/i);
      execFileSync("mount", ["-o", "remount,bind,rw", folder]);
      await refused(/busy/i);
      await killDaemon();
      expect(await stateOf("web")).toBe("removing");
      await refused(/busy/i);
    } finally {
      execFileSync("umount", ["-l", folder]);
    }
    await until(async () => (await stateOf("web")) === undefined, "it to be removed by itself");
    expect(await stateOf("other")).toBe("running");
  });

  test("prune removes what it can, and names what it could not", async () => {
    const captured = async () => {
      await thaw(["run", "--capture", "always", "--", "true"]);
      return (await thawJson<{ id: string }>(["capture", "show", "latest"])).id;
    };
    // The first and the latest of a failure stay.
    const [, stuck = "", loose = ""] = [
      await captured(),
      await captured(),
      await captured(),
      await captured(),
    ];
    const folder = join(testHome(), "captures", stuck);
    execFileSync("mount", ["--bind", folder, folder]);
    try {
      // Not before: one that has just been stored has the daemon look for some to remove.
      writeFileSync(config(), "captures: { maxCount: 1 }\n");
      const { exitCode, stderr } = await thaw(["prune"]);
      expect([exitCode, String(stderr)]).toEqual([125, expect.stringMatching(/only \d+ could be removed/)]);
      expect(stderr).toMatch(new RegExp(`${stuck}: .*busy`, "i"));
      expect(existsSync(join(testHome(), "captures", loose))).toBe(false);
    } finally {
      execFileSync("umount", ["-l", folder]);
    }
    expect((await thaw(["prune"])).exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });
});

describe.runIf(process.getuid?.() === 0)("a state folder on a read-only file system", () => {
  test("ls and doctor serve; what makes or removes something says why not", async () => {
    await using home = await smallHome(420);
    // On disk alone, so that no machine holds a file open.
    expect((await home.thaw("create", "--name", "web", "--stop-after", "1s")).exitCode).toBe(0);
    expect((await home.thaw("pause", "web")).exitCode).toBe(0);
    const states = async () => (await home.json<SandboxRow[]>("ls")).map(({ state }) => state);
    await until(async () => (await states()).includes("stopped"), "web to be frozen");
    expect((await home.thaw("daemon", "stop")).exitCode).toBe(0);
    // Until the daemon and the keepers have closed their files.
    const remount = () => spawnSync("mount", ["-o", "remount,ro", home.path]).status === 0;
    await until(async () => remount(), "the file system to be read-only");
    try {
      expect((await home.json<SandboxRow[]>("ls")).map(({ name }) => name)).toEqual(["web"]);
      const doctor = await home.thaw("doctor");
      expect([doctor.exitCode, String(doctor.stdout)]).toEqual([
        1,
        expect.stringMatching(/✗ state .*can't be written: .*read-only/i),
      ]);
      const made = await home.thaw("create");
      expect([made.exitCode, String(made.stderr)]).toEqual([125, expect.stringMatching(/read-only/i)]);
      expect((await home.json<SandboxRow[]>("ls")).map(({ name }) => name)).toEqual(["web"]);
    } finally {
      await home.thaw("daemon", "stop");
      execFileSync("mount", ["-o", "remount,rw", home.path]);
    }
    expect((await home.thaw("rm", "web")).exitCode).toBe(0);
  });
});
