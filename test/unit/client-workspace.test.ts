import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { packTree } from "../../client/tree/pack.ts";
import { unpackTree } from "../../client/tree/unpack.ts";
import { cleanGitConfig, parseGitConfig, stripCredentials } from "../../client/workspace/git-config.ts";
import { collectWorkspace } from "../../client/workspace.ts";

let base = "";
let repo = "";
let copy = "";

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-workspace-")));
  repo = join(base, "repo");
  copy = join(base, "copy");
});
afterEach(() => rmSync(base, { recursive: true }));

function git(folder: string, ...args: string[]): string {
  const identity = [
    "-c",
    "user.name=T",
    "-c",
    "user.email=t@example.com",
    "-c",
    "protocol.file.allow=always",
  ];
  return execFileSync("git", [...identity, ...args], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function makeRepository(folder: string): void {
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(folder, ".gitignore"), "ignored/\n*.log\n");
  writeFileSync(join(folder, "tracked"), "tracked");
  writeFileSync(join(folder, "sub/run"), "#!/bin/sh\n");
  chmodSync(join(folder, "sub/run"), 0o755);
  git(folder, "init", "-q", "-b", "main");
  git(folder, "add", "-A");
  git(folder, "commit", "-qm", "first");
  mkdirSync(join(folder, "ignored"));
  writeFileSync(join(folder, "ignored/x"), "x");
  writeFileSync(join(folder, "a.log"), "log");
  writeFileSync(join(folder, "untracked"), "new");
}

async function send(folder: string, options: { ignore?: boolean } = {}) {
  const { entries, notes } = await collectWorkspace(folder, options);
  const { skipped } = await unpackTree(packTree(entries), copy);
  return { notes, skipped, paths: entries.map(({ path }) => path.toString()) };
}

test("what git sees arrives, and git sees the same there", async () => {
  makeRepository(repo);
  writeFileSync(join(repo, "odd\nname"), "");
  git(repo, "add", "odd\nname");
  writeFileSync(join(repo, "tracked"), "changed");
  rmSync(join(repo, "sub/run"));
  const { notes, paths } = await send(repo);
  expect(notes).toEqual([]);
  expect(paths.filter((path) => path.startsWith("ignored") || path.endsWith(".log"))).toEqual([]);
  expect(git(copy, "ls-files")).toBe(git(repo, "ls-files"));
  expect(git(copy, "status", "--short")).toBe(git(repo, "status", "--short"));
  expect(git(copy, "log", "--format=%H %s")).toBe(git(repo, "log", "--format=%H %s"));
});

test("credentials stay here", async () => {
  makeRepository(repo);
  git(repo, "config", "http.https://github.com/.extraheader", "AUTHORIZATION: basic c2VjcmV0");
  git(repo, "config", "credential.helper", "store --file=/root/secret");
  git(repo, "config", "include.path", "/root/secret");
  git(repo, "config", "url.https://me:secret@github.com/.insteadOf", "gh:");
  git(repo, "config", "core.sshCommand", "ssh -i /root/secret");
  git(repo, "config", "alias.x", "!secret");
  git(repo, "remote", "add", "origin", "https://me:secret@github.com/acme/shop.git");
  git(repo, "config", "branch.main.remote", "origin");
  writeFileSync(join(repo, ".git/credentials"), "https://me:secret@github.com");
  await send(repo);
  const config = readFileSync(join(copy, ".git/config"), "utf8");
  expect(config).not.toMatch(/secret|c2VjcmV0/i);
  expect(git(copy, "remote", "get-url", "origin")).toBe("https://github.com/acme/shop.git\n");
  expect(git(copy, "config", "branch.main.remote")).toBe("origin\n");
  expect(statSync(join(copy, ".git/credentials"), { throwIfNoEntry: false })).toBeUndefined();
});

test("submodules come with their files and their own repository", async () => {
  makeRepository(join(base, "library"));
  makeRepository(repo);
  git(repo, "submodule", "add", "-q", join(base, "library"), "lib");
  git(repo, "commit", "-qm", "submodule");
  git(join(repo, "lib"), "config", "http.extraheader", "secret");
  await send(repo);
  expect(readFileSync(join(copy, "lib/tracked"), "utf8")).toBe("tracked");
  expect(git(copy, "submodule", "status")).toBe(git(repo, "submodule", "status"));
  expect(git(join(copy, "lib"), "status", "--short")).toBe("");
  expect(readFileSync(join(copy, ".git/modules/lib/config"), "utf8")).not.toContain("secret");
});

test("a worktree becomes a repository of its own", async () => {
  makeRepository(repo);
  git(repo, "worktree", "add", "-q", "-b", "side", join(base, "side"));
  writeFileSync(join(base, "side/tracked"), "side");
  const { notes } = await send(join(base, "side"));
  expect(notes).toEqual([expect.stringContaining("worktree")]);
  expect(git(copy, "branch", "--show-current")).toBe("side\n");
  expect(git(copy, "status", "--short")).toBe(" M tracked\n");
});

test("a part of a repository goes without history, and says so", async () => {
  makeRepository(repo);
  const { notes, paths } = await send(join(repo, "sub"));
  expect(paths).toEqual(["run"]);
  expect(notes).toEqual([expect.stringContaining(repo)]);
});

test("without git, .gitignore files are heeded, the deepest first", async () => {
  mkdirSync(join(repo, "a/b"), { recursive: true });
  writeFileSync(join(repo, ".gitignore"), "*.log\n/build/\n");
  writeFileSync(join(repo, "a/.gitignore"), "!keep.log\nb/\n");
  for (const name of ["x.log", "a/keep.log", "a/b/x", "a/y"]) writeFileSync(join(repo, name), name);
  mkdirSync(join(repo, "build"));
  mkdirSync(join(repo, "a/build"));
  writeFileSync(join(repo, "build/x"), "");
  const { paths } = await send(repo);
  expect(paths.sort()).toEqual([".gitignore", "a", "a/.gitignore", "a/build", "a/keep.log", "a/y"]);
});

test("with everything asked for, what is ignored comes too, credentials still not", async () => {
  makeRepository(repo);
  git(repo, "config", "http.extraheader", "secret");
  mkdirSync(join(repo, "ignored/nested"));
  git(join(repo, "ignored/nested"), "init", "-q");
  git(join(repo, "ignored/nested"), "config", "http.extraheader", "secret");
  symlinkSync("/etc/passwd", join(repo, "absolute"));
  const { paths, skipped } = await send(repo, { ignore: false });
  expect(paths).toEqual(
    expect.arrayContaining(["ignored/x", "a.log", "untracked", "ignored/nested/.git/HEAD"]),
  );
  for (const config of [".git/config", "ignored/nested/.git/config"]) {
    expect(readFileSync(join(copy, config), "utf8")).not.toContain("secret");
  }
  expect(skipped.map(({ path }) => path.toString())).toEqual(["absolute"]);
});

test("a workspace that is no folder is a usage error", async () => {
  await expect(collectWorkspace(join(base, "nowhere"))).rejects.toMatchObject({ code: "usage" });
});

test.each([
  ["https://me:pw@host/x", "https://host/x"],
  ["https://token@host/x", "https://host/x"],
  ["https://me:p@w@host/x", "https://host/x"],
  ["ssh://git@host/x", "ssh://git@host/x"],
  ["ssh://git:pw@host/x", "ssh://git@host/x"],
  ["git@host:a/b", "git@host:a/b"],
  ["https://host/x@y", "https://host/x@y"],
])("%s becomes %s", (url, clean) => {
  expect(stripCredentials(url)).toBe(clean);
});

test("odd names in a configuration keep their meaning", () => {
  const settings = [
    ['branch.a"b\\c.remote', "origin"],
    ["branch.x.y.merge", "refs/heads/x"],
    ["user.name", '"Quoted" \\ back # no comment\n\ttail '],
  ] as const;
  const file = join(base, "config");
  for (const [key, value] of settings) execFileSync("git", ["config", "-f", file, key, value]);
  const cleaned = cleanGitConfig(parseGitConfig(readFileSync(file)));
  writeFileSync(file, cleaned);
  const again = execFileSync("git", ["config", "-f", file, "-z", "--list"], { encoding: "utf8" });
  expect(again).toBe(
    `${settings.map(([key, value]) => `${key}\n${value}\0`).join("")}core.trustctime\nfalse\0core.checkstat\nminimal\0`,
  );
});
