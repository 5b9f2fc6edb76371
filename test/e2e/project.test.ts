/** Runs of a project file, in real machines. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type SandboxRow, thaw, thawBin, thawEnv, thawJson } from "../helpers/thaw.ts";

let repo = "";

const yaml = `version: 1
templates:
  app: ./ci/app
defaults:
  workspace: .
  env: { SHARED: everywhere }
runs:
  test:
    template: app
    command: |
      echo "$SHARED $OWN $TOKEN $APP"
      ls src
      false
      echo not reached
    env: { OWN: here }
    pass: [TOKEN]
    capture: never
  words:
    template: base
    workspace: false
    command: [echo, "$SHARED", "a  b"]
    labels: { team: red }
  slow: { command: sleep 60, timeout: 2s, workspace: false }
  fails: { command: exit 3, workspace: false, capture: on-failure }
`;

beforeAll(async () => {
  repo = realpathSync(mkdtempSync(join(tmpdir(), "thaw-e2e-project-")));
  await execa("git", ["init", "-q", repo]);
  mkdirSync(join(repo, "ci/app"), { recursive: true });
  mkdirSync(join(repo, "src"));
  writeFileSync(join(repo, "src/main.js"), "");
  writeFileSync(join(repo, "thaw.yaml"), yaml);
  const shipped = readFileSync("templates/base/template.yaml", "utf8");
  const app = shipped
    .replace("name: base", "name: e2e-app")
    .replace("LANG: C.UTF-8", "LANG: C.UTF-8\n  APP: app");
  writeFileSync(join(repo, "ci/app/template.yaml"), app);
});
afterAll(() => rmSync(repo, { recursive: true }));
afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

/** In the repository's `src`: the file is found above. */
function inRepository(...args: string[]) {
  return execa(process.execPath, [resolve(thawBin), ...args], {
    cwd: join(repo, "src"),
    env: { ...thawEnv(), TOKEN: "passed" },
    reject: false,
    timeout: 300_000,
  });
}

test("a run by name: the repository's template, its workspace, its variables, a script that stops at the first failure", async () => {
  const built = await inRepository("template", "build", "app");
  expect(built).toMatchObject({ exitCode: 0, stdout: "e2e-app" });
  const { stdout, stderr, exitCode } = await inRepository("run", "test");
  expect({ stdout, stderr, exitCode }).toEqual({
    stdout: "everywhere here passed app\nmain.js",
    stderr: "",
    exitCode: 1,
  });
  expect(await thawJson<SandboxRow[]>(["ls"])).toEqual([]);
}, 600_000);

test("a list is an argv; flags win; another command in the same run", async () => {
  const kept = await inRepository("run", "words", "--keep", "--name", "words", "--label", "by=me");
  expect(kept).toMatchObject({ exitCode: 0, stdout: "$SHARED a  b" });
  const [sandbox] = await thawJson<(SandboxRow & { labels: unknown })[]>(["ls"]);
  expect(sandbox).toMatchObject({ name: "words", labels: { team: "red", by: "me" } });
  const other = await inRepository(
    "run",
    "words",
    "--workspace",
    repo,
    "--",
    "sh",
    "-c",
    "echo $SHARED; pwd; ls",
  );
  expect(other).toMatchObject({ exitCode: 0, stdout: "everywhere\n/workspace\nci\nsrc\nthaw.yaml" });
  expect(await inRepository("run", "slow")).toMatchObject({ exitCode: 124 });
});

test("create knows the project's templates too", async () => {
  const { stdout, exitCode } = await inRepository("create", "--template", "app", "--name", "fromapp");
  expect({ stdout, exitCode }).toEqual({ stdout: "fromapp", exitCode: 0 });
  expect(await inRepository("exec", "fromapp", "--", "sh", "-c", "echo $APP")).toMatchObject({
    stdout: "app",
  });
});

test("what a run's capture says is asked for", async () => {
  const { stderr, exitCode } = await inRepository("run", "fails", "--json");
  const result = JSON.parse(String(stderr).trimEnd().split("\n").at(-1) ?? "");
  expect({ exitCode, captured: result.exec.captured }).toMatchObject({
    exitCode: 3,
    captured: { id: expect.any(String) },
  });
});
