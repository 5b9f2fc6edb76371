/** The project file on disk: found, bounded, kept inside its repository, planned, run by the command line. */
import { execFile, execFileSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RunRequest } from "../../client/index.ts";
import { findProjectFile } from "../../client/project/find.ts";
import { loadProject, type Project } from "../../client/project/load.ts";
import { planProjectRun } from "../../client/project/plan.ts";
import { buildRunRequest } from "../../client/run-settings.ts";
import { startServer, type TestServer } from "./client-server.ts";

let base = "";
let repo = "";

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-project-")));
  repo = join(base, "repo");
  mkdirSync(join(repo, ".git"), { recursive: true });
});
afterEach(() => rmSync(base, { recursive: true }));

function write(path: string, text: string): string {
  const file = join(repo, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

async function load(text: string): Promise<Project> {
  const project = await loadProject({ file: write("thaw.yaml", text) });
  if (project === undefined) throw new Error("no project");
  return project;
}

async function mistakesOf(text: string): Promise<readonly string[]> {
  return load(text).then(
    () => [],
    (error: { details: string[] }) => error.details.map((line) => line.replace(/^\S+thaw\.yaml:/, "")),
  );
}

test("the nearest file up to the repository's root, and no further", () => {
  writeFileSync(join(base, "thaw.yaml"), "version: 1\n");
  mkdirSync(join(repo, "a/b"), { recursive: true });
  expect(findProjectFile(join(repo, "a/b"))).toBeUndefined();
  const atRoot = write("thaw.yaml", "version: 1\n");
  expect(findProjectFile(join(repo, "a/b"))).toBe(atRoot);
  const near = write("a/thaw.yaml", "version: 1\n");
  expect(findProjectFile(join(repo, "a/b"))).toBe(near);
});

test.runIf(process.getuid?.() === 0)("a stranger's file above is not used", () => {
  mkdirSync(join(repo, "mine"));
  const file = write("thaw.yaml", "version: 1\n");
  chownSync(file, 12345, 12345);
  expect(() => findProjectFile(join(repo, "mine"))).toThrow(/belongs to the user 12345/);
  chownSync(join(repo, "mine"), 12345, 12345);
  expect(findProjectFile(join(repo, "mine"))).toBe(file);
});

test("a link out of the repository is not the project file", () => {
  writeFileSync(join(base, "other.yaml"), "version: 1\n");
  symlinkSync("../other.yaml", join(repo, "thaw.yaml"));
  expect(() => findProjectFile(repo)).toThrow(/is a link to .*other\.yaml, outside/);
});

test("no file, a folder, a pipe, too large, not UTF-8", async () => {
  const file = join(repo, "thaw.yaml");
  await expect(loadProject({ file })).rejects.toThrow(/ENOENT/);
  expect(await loadProject({ from: repo })).toBeUndefined();
  await expect(loadProject({ file: repo })).rejects.toThrow(/not a file/);
  execFileSync("mkfifo", [file]);
  await expect(loadProject({ file })).rejects.toThrow(/not a file/);
  rmSync(file);
  await expect(load(`version: 1\n#${"x".repeat(70_000)}`)).rejects.toThrow(/more than 65536 bytes/);
  writeFileSync(file, Buffer.from([0xff, 0xfe, 0xfd]));
  await expect(loadProject({ file })).rejects.toThrow(/can't read/);
});

test("paths stay inside the repository, links followed; templates are there", async () => {
  write("ci/app/template.yaml", "name: app\n");
  write("ci/empty/x", "");
  writeFileSync(join(base, "secret.yaml"), "x");
  symlinkSync("../secret.yaml", join(repo, "link.yaml"));
  symlinkSync("..", join(repo, "up"));
  symlinkSync("/etc", join(repo, "etc"));
  symlinkSync("ci", join(repo, "inside"));
  const found = await mistakesOf(`version: 1
templates:
  good: ./ci/app
  file: ci/app/template.yaml
  linked: inside/app
  out: ../secret.yaml
  link: link.yaml
  folder: ci/empty
  absent: ./nowhere
  absolute: /etc/passwd
runs:
  a: { workspace: .. }
  b: { workspace: etc }
  c: { workspace: up/other }
  d: { workspace: not-yet-made }
  e: { workspace: ci/.., template: ./up }
  f: { template: node }
`);
  const outside = `a path inside the repository ${repo}`;
  const absent = "a template.yaml or a folder with one";
  expect(found).toEqual([
    `6:8: templates.out: "../secret.yaml" is not ${outside}`,
    `7:9: templates.link: "link.yaml" is not ${outside}`,
    `8:11: templates.folder: "ci/empty" is not ${absent}`,
    `9:11: templates.absent: "./nowhere" is not ${absent}`,
    '10:13: templates.absolute: "/etc/passwd" is not a relative path',
    `12:19: runs.a.workspace: ".." is not ${outside}`,
    `13:19: runs.b.workspace: "etc" is not ${outside}`,
    `14:19: runs.c.workspace: "up/other" is not ${outside}`,
    `16:36: runs.e.template: "./up" is not ${outside}`,
  ]);
});

test("outside any repository, paths stay inside the file's folder", async () => {
  rmSync(join(repo, ".git"), { recursive: true });
  expect(await mistakesOf("version: 1\nruns: { a: { workspace: .. } }")).toHaveLength(1);
  expect(await mistakesOf("version: 1\nruns: { a: { workspace: . } }")).toEqual([]);
});

test("what is masked: passed on, or said now; joined with the flags'", async () => {
  const project = await load(`version: 1
defaults: { mask: [TOKEN] }
runs: { test: { command: [x], mask: [KEY, ABSENT, SAID] } }
`);
  const plan = await planProjectRun(project, "test", {
    environment: { TOKEN: "one", KEY: "two", OTHER: "no" },
    over: { env: { SAID: "three", MORE: "four" }, mask: ["MORE", "KEY"] },
  });
  expect(buildRunRequest(plan).exec).toMatchObject({
    env: { TOKEN: "one", KEY: "two", SAID: "three", MORE: "four" },
    mask: ["TOKEN", "KEY", "SAID", "MORE"],
  });
});

test("a plan: defaults, then the run, then what was passed on, then what is said now", async () => {
  write("ci/app/template.yaml", "name: app\n");
  const project = await load(`version: 1
templates: { app: ci/app }
defaults:
  snapshot: node:24
  cpus: 2
  env: { A: default, B: default, C: default }
  pass: [C, ABSENT]
  labels: { team: red }
  workspace: .
runs:
  test: { template: app, command: "a\\nb", env: { B: run }, pass: [HERE], memory: 1G, capture: always, ttl: never }
  own: { command: [x, "$y"], workspace: false, workdir: /srv }
  shell: { template: ./ci/app/template.yaml }
  other: { template: base, runner: gvisor }
`);
  const environment = { C: "host", HERE: "yes", OTHER: "no" };
  const plan = await planProjectRun(project, "test", {
    environment,
    over: { cpus: 4, env: { A: "flag" }, labels: { by: "me" } },
  });
  expect(plan).toEqual({
    name: "test",
    argv: ["sh", "-e", "-c", "a\nb"],
    settings: {
      source: { recipe: "name: app\n" },
      cpus: 4,
      memoryMib: 1024,
      ttlMs: null,
      env: { A: "flag", B: "run", C: "host", HERE: "yes" },
      labels: { team: "red", by: "me" },
      workspace: repo,
      capture: "always",
    },
  });
  expect(buildRunRequest(plan)).toMatchObject({
    hold: true,
    keep: false,
    exec: { cwd: "/workspace", capture: "always" },
  });
  const own = await planProjectRun(project, "own", { environment: {} });
  expect(own.argv).toEqual(["x", "$y"]);
  expect(own.settings).toMatchObject({ source: { snapshot: "node:24" }, workdir: "/srv" });
  expect(own.settings.workspace).toBeUndefined();
  expect(buildRunRequest(own)).toMatchObject({ hold: false, exec: { cwd: "/srv" } });
  await expect(planProjectRun(project, "shell")).rejects.toThrow(/no command/);
  const shell = await planProjectRun(project, "shell", {
    command: ["bash"],
    over: { source: { snapshot: "s" } },
  });
  expect(shell).toMatchObject({ argv: ["bash"], settings: { source: { snapshot: "s" } } });
  const sourceOf = async (run: string, source: object) =>
    (await planProjectRun(project, run, { command: ["true"], over: { source } })).settings.source;
  expect(await sourceOf("own", { runner: "gvisor" })).toEqual({ snapshot: "node:24", runner: "gvisor" });
  expect(await sourceOf("other", {})).toEqual({ template: "base", runner: "gvisor" });
  expect(await sourceOf("other", { template: "node" })).toEqual({ template: "node", runner: "gvisor" });
  expect(await sourceOf("other", { runner: "qemu" })).toEqual({ template: "base", runner: "qemu" });
  await expect(planProjectRun(project, "tset")).rejects.toMatchObject({
    code: "not-found",
    hint: expect.stringContaining("did you mean test?"),
  });
  await expect(planProjectRun(project, "constructor")).rejects.toMatchObject({ code: "not-found" });
});

const main = join(import.meta.dirname, "../../cli/main.ts");

function thaw(server: TestServer, args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = {
    ...process.env,
    ...{ THAW_HOME: join(server.folder, "home"), THAW_SOCKET: server.socket, CI: "1", NO_COLOR: "1" },
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: repo, env }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

/** A daemon on which every command ends well. */
function startDaemon(): Promise<TestServer> {
  return startServer({
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      peer.finish(0);
    },
  });
}

const requests = (server: TestServer): RunRequest[] =>
  server.peers.map((peer) => peer.control[0] as RunRequest);

test("thaw run NAME, with flags after it, with another command; a command alone asks for no file", async () => {
  write("ci/app/template.yaml", "name: app\n");
  write(
    "thaw.yaml",
    "version: 1\ntemplates: { app: ci/app }\nruns:\n  test: { template: app, command: npm test, cpus: 2, user: node }\n",
  );
  await using server = await startDaemon();
  expect(await thaw(server, ["run", "test"])).toEqual({ code: 0, out: "", err: "" });
  await thaw(server, ["run", "test", "--cpus", "4", "-e", "A=b", "--", "ls", "--cpus", "--"]);
  await thaw(server, ["run", "--template", "app", "--", "true"]);
  write("thaw.yaml", "not: [sound");
  await thaw(server, ["run", "--", "true"]);
  const source = { recipe: "name: app\n" };
  expect(requests(server)).toMatchObject([
    { create: { source, cpus: 2 }, exec: { argv: ["sh", "-e", "-c", "npm test"], user: "node" } },
    { create: { source, cpus: 4 }, exec: { argv: ["ls", "--cpus", "--"], env: { A: "b" } } },
    { create: { source }, exec: { argv: ["true"] } },
    { create: {}, exec: { argv: ["true"] } },
  ]);
  expect(requests(server)[3]?.create.source).toBeUndefined();
});

test("what is refused is refused with the next thing to type, before anything is asked for", async () => {
  await using server = await startDaemon();
  expect(await thaw(server, ["run", "x"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("thaw run -- x"),
  });
  write("thaw.yaml", "version: 1\nruns:\n  test: { command: npm test, description: all }\n");
  const none = await thaw(server, ["run"]);
  expect(none).toMatchObject({ code: 2, out: "" });
  expect(none.err).toMatch(
    /^thaw: which run of thaw\.yaml\?\n {2}RUN .*\n {2}test +npm test +all\nhint: thaw run NAME/,
  );
  const mistyped = await thaw(server, ["run", "tests"]);
  expect(mistyped).toMatchObject({ code: 2, err: expect.stringContaining("did you mean test?") });
  expect((await thaw(server, ["run", "ls", "-la"])).err).toContain("thaw run -- ls -la");
  expect((await thaw(server, ["run", "ls", "x"])).err).toContain("thaw run -- ls x");
  write("thaw.yaml", "version: 1\nruns:\n  test: { comand: npm test, cpus: many }\n");
  const unsound = await thaw(server, ["run", "test"]);
  expect(unsound.code).toBe(2);
  expect(unsound.err).toMatch(
    /^thaw: thaw\.yaml has 2 mistakes\n {2}thaw\.yaml:3:11: runs\.test\.comand: .*\n.*:3:35: /,
  );
  expect(server.peers).toEqual([]);
});

test("--list, check and completion", async () => {
  const token = `npm_${"a1".repeat(18)}`;
  write("thaw.yaml", `version: 1\nruns:\n  test: { command: npm test, env: { T: ${token} } }\n`);
  await using server = await startDaemon();
  expect(JSON.parse((await thaw(server, ["run", "--list", "--json"])).out)).toEqual([
    { name: "test", description: "", command: ["sh", "-e", "-c", "npm test"] },
  ]);
  expect((await thaw(server, ["run", "--list"])).out).toBe(
    "RUN   COMMAND   DESCRIPTION\ntest  npm test  –\n",
  );
  const checked = await thaw(server, ["project", "check"]);
  expect(checked).toMatchObject({ code: 0, out: "thaw.yaml: 1 run, 0 templates\n" });
  expect(checked.err).toMatch(/^thaw: thaw\.yaml:3:40: runs\.test\.env\.T: looks like an npm token/);
  expect(checked.err).not.toContain(token);
  expect(JSON.parse((await thaw(server, ["project", "check", "--json"])).out)).toMatchObject({
    runs: ["test"],
  });
  expect((await thaw(server, ["__complete", "--", "run", "t"])).out).toBe("test\n");
  expect(JSON.parse((await thaw(server, ["project", "schema"])).out)).toMatchObject({ title: "thaw.yaml" });
});
