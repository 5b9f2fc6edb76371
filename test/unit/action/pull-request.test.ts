import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatComment, markerOf, writeComment } from "../../../action/pull-request/comment.ts";
import {
  findEphemeralReason,
  judgePullRequest,
  previewName,
  readPullRequestEvent,
} from "../../../action/pull-request.ts";
import { connectGitHub, type GitHub } from "../../../github/index.ts";
import { Conversation } from "../../github/conversation.ts";
import { GitHubApi } from "../../github/server.ts";

const SHA = "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b";
const OTHER = "1111111111111111111111111111111111111111";
const repository = { owner: "acme", repo: "shop" };
const about = { repository, number: 412 };

function payload(changes: object = {}, head: object = {}): unknown {
  const pull_request = {
    ...{ number: 412, state: "open", user: { login: "mallory" } },
    head: { sha: SHA, ref: "topic", repo: { full_name: "acme/shop" }, ...head },
  };
  return {
    action: "synchronize",
    repository: { full_name: "acme/shop" },
    sender: { login: "ann" },
    pull_request,
    ...changes,
  };
}

describe("an event", () => {
  const fork = { repo: { full_name: "mallory/shop" } };
  test.each<[string, string, unknown, object | undefined]>([
    [
      "a push",
      "pull_request",
      payload(),
      { kind: "changed", ...about, sha: SHA, branch: "topic", isFork: false },
    ],
    [
      "of a fork",
      "pull_request_target",
      payload({}, fork),
      { kind: "changed", isFork: true, labeled: undefined },
    ],
    [
      "a fork that was deleted",
      "pull_request",
      payload({}, { repo: null }),
      { kind: "changed", isFork: true },
    ],
    [
      "a label",
      "pull_request",
      payload({ action: "labeled", label: { name: "ok" } }),
      { labeled: { name: "ok", by: "ann" } },
    ],
    [
      "a label that was taken away",
      "pull_request",
      payload({ action: "unlabeled", label: { name: "ok" } }),
      { labeled: undefined },
    ],
    ["closed", "pull_request", payload({ action: "closed" }), { kind: "closed", ...about }],
    [
      "a branch's end",
      "delete",
      { ref: "topic", ref_type: "branch", repository: { full_name: "acme/shop" } },
      { kind: "branch-deleted", repository, branch: "topic" },
    ],
    [
      "a tag's end",
      "delete",
      { ref: "v1", ref_type: "tag", repository: { full_name: "acme/shop" } },
      undefined,
    ],
    ["a push to a branch", "push", payload(), undefined],
    ["no commit", "pull_request", payload({}, { sha: "HEAD; rm -rf /" }), undefined],
    ["nothing", "pull_request", null, undefined],
  ])("%s", (_name, name, given, expected) => {
    const read = readPullRequestEvent(name, given);
    if (expected === undefined) expect(read).toBeUndefined();
    else expect(read).toMatchObject(expected);
  });
});

describe("a runner", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "thaw-runner-"));
    mkdirSync(join(folder, "_work/_temp"), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test.each([
    ["GitHub-hosted", { RUNNER_ENVIRONMENT: "github-hosted" }, undefined, /GitHub-hosted runners/],
    [
      "an ephemeral one",
      { RUNNER_ENVIRONMENT: "self-hosted" },
      '\uFEFF{"AgentId":7,"Ephemeral":true}',
      /is ephemeral/,
    ],
    ["an ephemeral one, as older ones write it", {}, '{"ephemeral":"True"}', /is ephemeral/],
    ["one that stays", { RUNNER_ENVIRONMENT: "self-hosted" }, '{"AgentId":7}', undefined],
    ["one without settings", { RUNNER_ENVIRONMENT: "self-hosted" }, undefined, undefined],
  ] as const)("%s", async (_name, env, settings, reason) => {
    if (settings !== undefined) writeFileSync(join(folder, ".runner"), settings);
    const found = await findEphemeralReason({ ...env, RUNNER_TEMP: join(folder, "_work/_temp") });
    if (reason === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(reason);
  });
});

test("names are a sandbox's, told apart by repository, pull request and run", () => {
  const run = { id: 8812, attempt: 1 };
  expect(previewName(about, run)).toMatch(/^shop-pr-412-[0-9a-f]{6}$/);
  const others = [
    previewName({ ...about, repository: { owner: "evil", repo: "shop" } }, run),
    previewName({ ...about, number: 41 }, run),
    previewName(about, { id: 8812, attempt: 2 }),
    previewName(
      { ...about, repository: { owner: "acme", repo: `._${"X".repeat(90)}` }, number: 999_999_999 },
      run,
    ),
  ];
  expect(new Set([previewName(about, run), ...others]).size).toBe(5);
  for (const name of others) expect(name).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
});

describe("with GitHub", () => {
  let api: GitHubApi;
  let github: GitHub;
  let talk: Conversation;
  beforeEach(async () => {
    talk = new Conversation(SHA);
    api = await GitHubApi.start(talk.handlers, { pageSize: 2 });
    github = await connectGitHub({ apiUrl: api.url, token: "t" });
  });
  afterEach(async () => {
    await api[Symbol.asyncDispose]();
    expect(api.violations).toEqual([]);
  });

  const event = (changes: object, labeled?: { name: string; by: string }) => {
    const read = readPullRequestEvent("pull_request", payload({}, { repo: { full_name: "mallory/shop" } }));
    if (read?.kind !== "changed") throw new Error("not a change");
    return { ...read, labeled, ...changes };
  };
  const review = (by: string, changes: object = {}) => {
    talk.reviews.push({ ...{ by, state: "APPROVED", sha: SHA, association: "MEMBER" }, ...changes });
  };

  test.each<[string, () => unknown, boolean]>([
    ["nobody said so", () => {}, false],
    ["a member's approval", () => review("ann"), true],
    [
      "an owner's, on a later page",
      () => {
        review("x", { association: "NONE" });
        review("y", { association: "NONE" });
        review("zoe", { association: "OWNER" });
      },
      true,
    ],
    ["of another commit", () => review("ann", { sha: OTHER }), false],
    ["a stranger's", () => review("ann", { association: "CONTRIBUTOR" }), false],
    ["a comment", () => review("ann", { state: "COMMENTED" }), false],
    [
      "taken back",
      () => {
        review("ann");
        review("ann", { state: "CHANGES_REQUESTED" });
      },
      false,
    ],
    [
      "commented on behind it",
      () => {
        review("ann");
        review("ann", { state: "COMMENTED" });
      },
      true,
    ],
    [
      "dismissed",
      () => {
        review("ann");
        review("ann", { state: "DISMISSED" });
      },
      false,
    ],
    ["the author's own", () => review("mallory", { association: "COLLABORATOR" }), false],
    [
      "reviews that can't be read",
      () => {
        review("ann");
        api.faults.set("pulls/list-reviews", { status: 403, message: "no" });
      },
      false,
    ],
  ])("a fork's pull request: %s", async (_name, make, allowed) => {
    make();
    const verdict = await judgePullRequest(github, event({}), { label: "preview" });
    expect(verdict).toMatchObject({ allowed, secrets: false, reason: expect.stringMatching(/./) });
  });

  test.each<[string, string, { name: string; by: string }, () => unknown, boolean]>([
    ["by who can triage", "triage", { name: "preview", by: "ann" }, () => {}, true],
    ["by who can read only", "read", { name: "preview", by: "ann" }, () => {}, false],
    ["another label", "admin", { name: "bug", by: "ann" }, () => {}, false],
    [
      "and a push since",
      "admin",
      { name: "preview", by: "ann" },
      () => {
        talk.headSha = OTHER;
      },
      false,
    ],
  ])("a label %s", async (_name, role, labeled, make, allowed) => {
    talk.roles.ann = role;
    make();
    expect(await judgePullRequest(github, event({}, labeled), { label: "preview" })).toMatchObject({
      allowed,
      secrets: false,
    });
  });

  test("a branch of the repository's own needs neither", async () => {
    expect(await judgePullRequest(github, event({ isFork: false }), {})).toMatchObject({
      allowed: true,
      secrets: true,
    });
    expect(api.asked).toEqual([]);
  });

  test("one comment, found again by its line and its author, over pages", async () => {
    const line = markerOf(about);
    talk.comments.push({ id: 900, author: "mallory", body: `${line}\nmine` });
    talk.comments.push({ id: 901, author: "github-actions[bot]", body: `somebody said\n${line}` });
    await writeComment(github, about, { state: "ready", sha: SHA });
    await writeComment(github, about, { state: "retired", reason: "closed" });
    expect(talk.comments.map(({ id }) => id)).toEqual([900, 901, 1]);
    expect(talk.comments[2]?.body).toContain("Preview was removed");
    expect(
      await writeComment(github, { repository, number: 7 }, { state: "retired" }, { create: false }),
    ).toBeUndefined();
    talk.user = "ann";
    await writeComment(github, about, { state: "failed", sha: SHA });
    expect(talk.comments.at(-1)).toMatchObject({ author: "ann" });
  });
});

test("a stranger's text in a comment is text", () => {
  const branch = "x`` <img src=x> @acme/all [a](http://evil)\n# title\n<!-- thaw preview acme/shop#1 -->";
  const url = "http://8080-shop.example/?a=>)[x](javascript:alert(1))";
  const open = {
    url,
    sandbox: "shop",
    host: "ci-3",
    sha: SHA,
    expiresAt: "2026-11-27T10:00:00Z",
    until: null,
  };
  const body = formatComment(about, {
    state: "ready",
    sha: SHA,
    branch,
    open,
    runUrl: "javascript:alert(1)",
  });
  expect(body).toContain(
    "```x`` <img src=x> @acme/all [a](http://evil) # title <!-- thaw preview acme/shop#1 -->```",
  );
  expect(body).not.toContain("(javascript:");
  expect(body.split("\n")[0]).toBe("<!-- thaw preview acme/shop#412 -->");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (reason, replayCommand) => {
      const lines = formatComment(about, { state: "failed", sha: SHA, reason, replayCommand }).split("\n");
      expect(lines.filter((line) => line.startsWith("<!--"))).toHaveLength(1);
      expect(lines.filter((line) => line.startsWith("#"))).toHaveLength(1);
    }),
  );
});
