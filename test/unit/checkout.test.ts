/** What a checkout says of its branch and remotes, read without git; repositories are made by real git. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCheckout } from "../../client/index.ts";

let folder: string;
const git = (...argv: string[]) =>
  execa("git", ["-C", folder, ...argv], { env: { GIT_CONFIG_GLOBAL: "/dev/null" } });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "thaw-checkout-"));
  await git("init", "-q", "-b", "topic/é");
  await git("remote", "add", "origin", "git@github.com:acme/shop.git");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function commit(): Promise<void> {
  await git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x");
}

test("branch, remotes and what the branch follows, from a folder below", async () => {
  await git("remote", "add", "upstream", "https://github.com/up/shop");
  await git("config", "branch.topic/é.remote", "upstream");
  await git("config", "branch.topic/é.pushRemote", "origin");
  await git("config", "branch.topic/é.merge", "refs/pull/7/head");
  mkdirSync(join(folder, "a/b"), { recursive: true });
  const remotes = [
    { name: "origin", url: "git@github.com:acme/shop.git" },
    { name: "upstream", url: "https://github.com/up/shop" },
  ];
  const expected = { branch: "topic/é", remotes, pushRemote: "origin", follows: "refs/pull/7/head" };
  expect(findCheckout(join(folder, "a/b"))).toMatchObject(expected);
});

test("a detached HEAD, a worktree, no checkout", async () => {
  await commit();
  await git("worktree", "add", "-q", "-b", "other", join(folder, "w"));
  expect(findCheckout(join(folder, "w"))).toMatchObject({ branch: "other", remotes: [{ name: "origin" }] });
  await git("checkout", "-q", "--detach");
  expect(findCheckout(folder)?.branch).toBeUndefined();
  rmSync(join(folder, ".git"), { recursive: true });
  expect(findCheckout(folder)).toBeUndefined();
});

test("a spoilt index is no hindrance; nothing is included; links and huge files are not read", async () => {
  writeFileSync(join(folder, "secret"), '[remote "stolen"]\n\turl = git@github.com:a/b\n');
  await git("config", "include.path", "../secret");
  writeFileSync(join(folder, ".git/index"), "no index");
  expect(findCheckout(folder)?.remotes.map(({ name }) => name)).toEqual(["origin"]);
  rmSync(join(folder, ".git/config"));
  symlinkSync(join(folder, "secret"), join(folder, ".git/config"));
  expect(findRemotes()).toEqual([]);
  rmSync(join(folder, ".git/config"));
  writeFileSync(join(folder, ".git/config"), Buffer.alloc(2 << 20, "#"));
  expect(() => findCheckout(folder)).toThrow("can't read the repository");
});

function findRemotes(): unknown {
  try {
    return findCheckout(folder)?.remotes;
  } catch {
    return [];
  }
}
