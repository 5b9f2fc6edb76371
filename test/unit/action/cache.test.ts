import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseCache, scopesOf } from "../../../action/cache-input.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-cache-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("folders from the workspace, from home and from the root; a key, and what may stand in", () => {
  expect(
    parseCache("key: npm-1\nrestore: npm-\nrestore: n\n\n# theirs\nnode_modules/\n~/.npm\n/opt/x\n./a/../b"),
  ).toEqual({
    key: "npm-1",
    restoreKeys: ["npm-", "n"],
    paths: ["/workspace/node_modules", "/root/.npm", "/opt/x", "/workspace/b"],
  });
});

test.each([
  ["node_modules", "give one line `key: …`"],
  ["key: a\nkey: b\nx", "give one line `key: …`"],
  ["key: a", "give the folders"],
  ["key:\nx", "give one line|key"],
  ["key: a\n/proc/self", "a folder outside of"],
  ["key: a\n/", "an absolute path"],
  ["key: a\nx\nx/y", "none is inside another"],
  ["key: a\nx\nx", "none is inside another"],
])("%j is refused", (text, why) => {
  expect(() => parseCache(text)).toThrow(why === "give one line|key" ? /./ : why);
});

function scopes(name: string, payload: object | null, env: Record<string, string> = {}) {
  const path = join(folder, "event.json");
  writeFileSync(path, payload === null ? "{" : JSON.stringify(payload));
  const { read, write } = scopesOf({
    ...{ GITHUB_EVENT_NAME: name, GITHUB_EVENT_PATH: path, GITHUB_REF: "refs/heads/topic" },
    ...{ GITHUB_REPOSITORY: "Acme/Shop", ...env },
  });
  return { read, write };
}

const repository = { full_name: "Acme/Shop", default_branch: "main" };
const pull = (from: string | null) => ({
  repository,
  pull_request: {
    number: 7,
    base: { ref: "release" },
    head: { repo: from === null ? null : { full_name: from } },
  },
});

test("a branch reads its own and the default branch's, and writes its own", () => {
  expect(scopes("push", { repository })).toEqual({
    read: ["refs/heads/topic", "refs/heads/main"],
    write: "refs/heads/topic",
  });
  expect(scopes("push", { repository }, { GITHUB_REF: "refs/heads/main" }).read).toEqual(["refs/heads/main"]);
  expect(
    scopesOf({ GITHUB_REPOSITORY: "Acme/Shop", GITHUB_SERVER_URL: "https://ghe.example.com" }).repository,
  ).toBe("ghe.example.com/acme/shop");
});

test("a pull request writes what is its own; a fork's, or one that can't be told, writes nothing", () => {
  expect(scopes("pull_request", pull("acme/shop"))).toEqual({
    read: ["refs/pull/7", "refs/heads/release", "refs/heads/main"],
    write: "refs/pull/7",
  });
  const ref = { GITHUB_REF: "refs/pull/7/merge" };
  for (const from of ["mallory/shop", null])
    expect(scopes("pull_request", pull(from), ref)).toEqual({
      read: ["refs/heads/release", "refs/heads/main"],
      write: null,
    });
  expect(scopes("pull_request", null, ref).write).toBeNull();
  expect(scopes("pull_request", { repository }, ref).write).toBeNull();
});

test("events whose code may be a stranger's write nothing, whatever ref they name", () => {
  const main = { GITHUB_REF: "refs/heads/main" };
  for (const name of ["pull_request_target", "workflow_run", "issue_comment", "issues", "", "discussion"]) {
    expect(scopes(name, { repository }, main).write).toBeNull();
    expect(scopes(name, pull("acme/shop"), main).write).toBeNull();
  }
});

test("code that is fetched writes only where it is the event's own commit", () => {
  const path = join(folder, "event.json");
  writeFileSync(path, JSON.stringify({ repository }));
  const sha = "a".repeat(40);
  const env = {
    ...{ GITHUB_EVENT_NAME: "push", GITHUB_EVENT_PATH: path, GITHUB_REF: "refs/heads/topic" },
    ...{ GITHUB_REPOSITORY: "Acme/Shop", GITHUB_SHA: sha },
  };
  const of = (name: string, wanted: { commit: string } | { name: string }) =>
    scopesOf(env, { server: "https://github.com", repository: name, wanted, token: undefined }).write;
  expect(of("acme/shop", { commit: sha })).toBe("refs/heads/topic");
  expect(of("acme/shop", { name: "refs/heads/topic" })).toBe("refs/heads/topic");
  expect(of("acme/shop", { commit: "b".repeat(40) })).toBeNull();
  expect(of("acme/shop", { name: "refs/pull/7/head" })).toBeNull();
  expect(of("mallory/shop", { commit: sha })).toBeNull();
});
