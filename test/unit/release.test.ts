/** What a release is made of and what leaves the machine, up to what only the workflow can do. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { sha256 } from "../../scripts/release-build.ts";
import { makeReleaseCommit } from "../../scripts/release-commit.ts";
import type { Release } from "../../scripts/release-steps.ts";
import { writeReleaseTree } from "../../scripts/release-tree.ts";
import { planUpload, pushTag, verifySums } from "../../scripts/release-upload.ts";

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-release-test-"));
  root = join(folder, "checkout");
  mkdirSync(join(root, "dist"), { recursive: true });
  for (const args of [
    ["init", "-q", "-b", "main"],
    ["config", "user.name", "a"],
    ["config", "user.email", "a@example.com"],
  ])
    git(...args);
  writeFileSync(join(root, ".gitignore"), "dist\n*.log\n");
  writeFileSync(join(root, "source.ts"), "1\n");
  git("add", ".");
  git("commit", "-qm", "first");
  writeFileSync(join(root, "dist", "main.mjs"), "2\n", { mode: 0o755 });
  writeFileSync(join(root, "debug.log"), "3\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const git = (...args: string[]): string => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();

function release(): Release {
  const out = join(folder, "out");
  mkdirSync(out, { recursive: true });
  return { root, out, version: "1.2.3", notes: "what is new" };
}

test("the tag's tree has what git tracks and dist/, and nothing of the checkout is touched", () => {
  const before = git("status", "--porcelain", "--ignored");
  const objects = git("count-objects");
  writeReleaseTree(root, join(folder, "tree"));
  const files = execFileSync("find", [".", "-type", "f", "-printf", "%P %m\n"], {
    cwd: join(folder, "tree"),
    encoding: "utf8",
  });
  expect(files.trim().split("\n").sort()).toEqual([".gitignore 644", "dist/main.mjs 755", "source.ts 644"]);
  expect([git("status", "--porcelain", "--ignored"), git("count-objects")]).toEqual([before, objects]);
});

test("the tag holds exactly the archive, on top of the commit; the checkout's index stays", () => {
  execFileSync("git", ["init", "-q", "--bare", join(folder, "origin")]);
  git("remote", "add", "origin", join(folder, "origin"));
  const { out } = release();
  writeReleaseTree(root, join(folder, "tree"));
  execFileSync("tar", ["-czf", join(out, "thaw-1.2.3.tar.gz"), "-C", join(folder, "tree"), "."]);
  writeFileSync(join(root, "later.ts"), "not tested\n");
  const before = git("status", "--porcelain");
  const commit = makeReleaseCommit(release());
  pushTag(release(), "v1.2.3");
  const origin = (...args: string[]): string =>
    execFileSync("git", ["-C", join(folder, "origin"), ...args], { encoding: "utf8" }).trim();
  expect(origin("ls-tree", "-r", "--name-only", "v1.2.3").split("\n")).toEqual([
    ".gitignore",
    "dist/main.mjs",
    "source.ts",
  ]);
  expect(origin("rev-parse", "v1.2.3")).toBe(commit);
  expect(origin("rev-parse", "v1.2.3^")).toBe(git("rev-parse", "HEAD"));
  expect(git("status", "--porcelain")).toBe(before);
});

describe("uploading", () => {
  test("is refused for a file that is not what was tested", () => {
    const { out } = release();
    writeFileSync(join(out, "a.tgz"), "a");
    writeFileSync(join(out, "SHA256SUMS"), `${sha256(join(out, "a.tgz"))}  a.tgz\n`);
    verifySums(out);
    writeFileSync(join(out, "a.tgz"), "b");
    expect(() => verifySums(out)).toThrow("a.tgz is not what was built");
  });

  test("names every file, and a snapshot of every template by its tag", () => {
    const lines = planUpload({ ...release(), root: resolve(".") }).flatMap(({ commands }) => commands);
    const text = lines.join("\n");
    for (const part of ["thaw-1.2.3.tar.gz", "thaw-ci-1.2.3.tgz", "SHA256SUMS", "--draft", "--provenance"])
      expect(text).toContain(part);
    expect(lines).toContain("thaw snapshot push base oci:ghcr.io/thaw-ci/thaw/snapshots:base-1.2.3");
    expect(lines).toContain("thaw snapshot push node:24 oci:ghcr.io/thaw-ci/thaw/snapshots:node-1.2.3");
    expect(text).not.toContain("undefined");
  });

  test.each([
    ["without the workflow", ["--upload", "none"], {}, 1, "only the release workflow uploads"],
    [
      "from another branch",
      ["--upload", "none"],
      { GITHUB_ACTIONS: "true", GITHUB_REF: "refs/heads/x" },
      1,
      "refs/heads/x",
    ],
    ["without a word of either", [], {}, 2, "either --dry-run or --upload"],
    ["with both", ["--dry-run", "--upload", "none"], {}, 2, "either --dry-run or --upload"],
  ])("is refused %s", async (_what, args, env, exitCode, stderr) => {
    const ran = await execa(process.execPath, ["scripts/release.ts", ...args], {
      env: { GITHUB_ACTIONS: "", ...env },
      reject: false,
    });
    expect(ran).toMatchObject({ exitCode, stdout: "" });
    expect(ran.stderr).toContain(stderr);
    expect(existsSync("none")).toBe(false);
  });
});

describe("the workflow", () => {
  const text = readFileSync(".github/workflows/release.yml", "utf8");
  const { permissions, jobs } = parse(text);

  test("gives each job what it needs and no more", () => {
    expect(permissions).toEqual({});
    expect(jobs.build.permissions).toEqual({ contents: "read" });
    expect(jobs.build.environment).toBeUndefined();
    expect(jobs.upload).toMatchObject({ environment: "release", needs: "build" });
    expect(text.split("upload:")[0]).not.toContain("secrets.");
  });

  test("names every action by a commit and says which version that is", () => {
    const uses = text.split("\n").filter((line) => line.includes("uses:"));
    expect(uses.length).toBeGreaterThan(5);
    for (const line of uses) expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });
});
