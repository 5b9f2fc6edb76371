/** Where a token comes from, with real git, a gh of the test's, and a checkout that would like to be asked. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findServer } from "../../../github/server.ts";
import { findToken } from "../../../github/token.ts";

let folder: string;
let home: string;
let env: Record<string, string>;
const before = process.cwd();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "thaw-token-"));
  home = join(folder, "home");
  const checkout = join(folder, "checkout");
  for (const path of [home, checkout, join(folder, "bin")]) mkdirSync(path);
  await execa("git", ["init", "-q", checkout]);
  // What a pull request may contain, and what somebody else's checkout may.
  const steal = `!touch ${folder}/OWNED; echo username=x; echo password=of-the-checkout; :`;
  await execa("git", ["-C", checkout, "config", "credential.helper", steal]);
  for (const name of ["gh", "git"])
    writeScript(join(checkout, name), `touch ${folder}/OWNED; echo of-the-checkout`);
  process.chdir(checkout);
  env = { HOME: home, PATH: `.:${join(folder, "bin")}:${process.env.PATH}`, GIT_CONFIG_NOSYSTEM: "1" };
});
afterEach(() => {
  process.chdir(before);
  expect(existsSync(join(folder, "OWNED"))).toBe(false);
  rmSync(folder, { recursive: true, force: true });
});

function writeScript(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

const github = findServer("github.com", {});
const stranger = findServer("evil.example", {});

test("the environment, for GitHub and not for a host that a remote names", async () => {
  const given = { ...env, GITHUB_TOKEN: "second", GH_TOKEN: "first", GH_ENTERPRISE_TOKEN: "third" };
  expect(await findToken(github, given)).toEqual({ token: "first", from: "GH_TOKEN" });
  expect(await findToken(github, { ...env, GITHUB_TOKEN: "second" })).toEqual({
    token: "second",
    from: "GITHUB_TOKEN",
  });
  expect(await findToken(stranger, given)).toBeUndefined();
});

test("gh is asked for that host, without tokens that it would repeat", async () => {
  writeScript(
    join(folder, "bin", "gh"),
    `[ "$3" = --hostname ] && echo "$4$GH_TOKEN$GITHUB_TOKEN$GH_ENTERPRISE_TOKEN"`,
  );
  expect(await findToken(stranger, { ...env, GH_TOKEN: "x", GH_ENTERPRISE_TOKEN: "y" })).toEqual({
    ...{ token: "evil.example", from: "gh" },
  });
});

test("git's credential helper of the user, never the checkout's; nobody is asked for a password", async () => {
  expect(await findToken(github, env)).toBeUndefined();
  const helper = "!f() { grep -q host=github.com && echo username=ann && echo password=kept; }; f";
  await execa("git", ["config", "--file", join(home, ".gitconfig"), "credential.helper", helper]);
  expect(await findToken(github, { ...env, GIT_DIR: join(process.cwd(), ".git") })).toEqual({
    ...{ token: "kept", from: "git credential" },
  });
  expect(await findToken(stranger, env)).toBeUndefined();
});

test("a helper that never answers is left after a while", async () => {
  writeScript(join(folder, "bin", "gh"), `sleep 600 & echo $! > ${folder}/pid; wait`);
  expect(await findToken(github, env)).toBeUndefined();
});
