/** A pull request's preview: real sandboxes, and a local server of GitHub's API. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
  type Clients,
  type PullRequestHead,
  previewName,
  publishPreview,
  readPullRequestEvent,
  reportNoPreview,
  retirePreviews,
} from "../../action/pull-request.ts";
import { findPaths, type Sandbox, Thaw } from "../../client/index.ts";
import { connectGitHub } from "../../github/index.ts";
import { Conversation } from "../github/conversation.ts";
import { GitHubApi } from "../github/server.ts";
import { guestServer } from "../helpers/guest-server.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw as command } from "../helpers/thaw.ts";

const SHA = "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b";
const NEXT = "2222222222222222222222222222222222222222";
const about = { repository: { owner: "acme", repo: "shop" }, number: 412 };
const PORT = 8080;
const HOUR = 3_600_000;
const run = (id: number) => ({ id, attempt: 1 });

let thaw: Thaw;
let api: GitHubApi;
let talk: Conversation;
let clients: Clients;
let notices: string[];

beforeAll(async () => {
  // Built here where nobody did before: not within a test's time.
  await command(["template", "build", "base"]);
  thaw = new Thaw({ ...findPaths({ ...process.env, THAW_HOME: testHome() }), autostart: false });
});
afterAll(async () => {
  await command(["rm", "--all"]);
  await thaw?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  notices = [];
  talk = new Conversation(SHA);
  api = await GitHubApi.start(talk.handlers);
  const github = await connectGitHub({ apiUrl: api.url, token: "t" });
  const signal = new AbortController().signal;
  clients = { comments: true, github, thaw, host: "ci-3", notice: (text) => notices.push(text), signal };
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  expect(api.violations).toEqual([]);
});

function headAt(sha: string): PullRequestHead {
  const pull_request = {
    ...{ number: 412, state: "open", user: { login: "ann" } },
    head: { sha, ref: "topic", repo: { full_name: "acme/shop" } },
  };
  const payload = {
    action: "synchronize",
    repository: { full_name: "acme/shop" },
    sender: { login: "ann" },
    pull_request,
  };
  const event = readPullRequestEvent("pull_request", payload);
  if (event?.kind !== "changed") throw new Error("not a change");
  return event;
}

/** What the step leaves behind: a sandbox with a server in it. */
async function build(id: number, text: string): Promise<Sandbox> {
  const sandbox = await thaw.sandboxes.create({ name: previewName(about, run(id)), ttlMs: HOUR });
  await sandbox.startDetached({ argv: guestServer(PORT, text) });
  return sandbox;
}

function publish(sandbox: Sandbox, id: number, sha: string) {
  const options = {
    port: PORT,
    linkMs: HOUR,
    answerMs: 60_000,
    runUrl: "https://github.com/acme/shop/actions/runs/1",
  };
  return publishPreview(clients, { head: headAt(sha), run: run(id), sandbox, ...options });
}

/** What a browser sees of an address. By path: not every resolver knows names below localhost. */
async function look(url: string): Promise<string> {
  const { search, port, hostname } = new URL(url);
  const name = hostname.replace(/^\d+-/, "").replace(/\.localhost$/, "");
  const page = `http://127.0.0.1:${port}/${name}/${PORT}/`;
  const get = (address: string, cookie = "") =>
    fetch(address, { redirect: "manual", headers: { cookie }, signal: AbortSignal.timeout(60_000) });
  const entered = await get(`${page}${search}`);
  const cookie = entered.headers.get("set-cookie")?.split(";")[0] ?? "";
  return entered.status === 303 ? (await get(page, cookie)).text() : String(entered.status);
}

const names = async (): Promise<string[]> => (await thaw.sandboxes.list()).map(({ name }) => name);

test("a push replaces the preview when the new one answers; a close retires it; one comment says it all", async () => {
  const first = await build(1, "one");
  const published = await publish(first, 1, SHA);
  expect(await look(published?.url ?? "")).toBe("one");
  expect(talk.comments).toHaveLength(1);
  expect(talk.comments[0]?.body).toContain(`\`thaw --context ci-3 shell ${first.name}\``);
  expect(talk.statuses.at(-1)).toMatch(/^\d+ success http/);

  // Nothing listens: the one before stays, and its address is good.
  const mute = await thaw.sandboxes.create({ name: previewName(about, run(2)), ttlMs: HOUR });
  const options = {
    port: PORT,
    linkMs: HOUR,
    answerMs: 1_000,
    head: headAt(NEXT),
    run: run(2),
    sandbox: mute,
  };
  await expect(publishPreview(clients, options)).rejects.toMatchObject({ code: "timeout" });
  await mute.remove();
  const failed = {
    head: headAt(NEXT),
    port: PORT,
    linkMs: HOUR,
    replayCommand: "thaw replay fail-7k2qxz",
  } as const;
  await reportNoPreview(clients, { ...failed, state: "failed" });
  expect(talk.comments[0]?.body).toMatch(
    /No new preview[\s\S]*thaw replay fail-7k2qxz[\s\S]*Open the preview/,
  );
  expect(await look(published?.url ?? "")).toBe("one");

  const second = await build(3, "two");
  const replaced = await publish(second, 3, NEXT);
  expect(await look(replaced?.url ?? "")).toBe("two");
  expect(await names()).toEqual([second.name]);
  // An earlier run that ends later takes nothing away.
  const late = await build(2, "late");
  expect(await publish(late, 2, SHA)).toBeUndefined();
  expect(await names()).toEqual([second.name]);
  expect(await look(replaced?.url ?? "")).toBe("two");

  expect(await retirePreviews(clients, { kind: "closed", ...about })).toBe(1);
  expect(await names()).toEqual([]);
  expect(talk.comments).toHaveLength(1);
  expect(talk.comments[0]?.body).toContain("Preview was removed");
  expect(talk.statuses.at(-1)).toMatch(/ inactive$/);
  expect(notices).toEqual([]);
});

test("what may not be written is a notice that names the permission; a pull request closed meanwhile keeps nothing", async () => {
  const refused = { status: 403, message: "Resource not accessible by integration" };
  const headers = { "x-accepted-github-permissions": "issues=write; pull_requests=write" };
  api.faults.set("issues/create-comment", { ...refused, headers });
  api.faults.set("repos/create-deployment", { ...refused });
  const published = await publish(await build(4, "four"), 4, SHA);
  expect(await look(published?.url ?? "")).toBe("four");
  expect(notices).toEqual([
    expect.stringContaining(
      "the comment could not be written (needs the permission issues: write or pull-requests: write)",
    ),
    expect.stringContaining("the deployment could not be written (needs the permission deployments: write)"),
  ]);
  talk.state = "closed";
  expect(await publish(await build(5, "five"), 5, NEXT)).toBeUndefined();
  expect(await names()).toEqual([]);
  talk.state = "open";
  await publish(await build(6, "six"), 6, NEXT);
  const gone = { kind: "branch-deleted", repository: about.repository, branch: "topic" } as const;
  expect(await retirePreviews(clients, { ...gone, branch: "other" })).toBe(0);
  expect(await retirePreviews(clients, gone)).toBe(1);
  expect(await names()).toEqual([]);
});
