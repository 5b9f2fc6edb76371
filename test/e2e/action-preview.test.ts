/** The Action with `preview: true`, by a runner's rules, with real sandboxes and a local server of GitHub's API. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Job, type StepResult } from "../action-runner/job.ts";
import { makeReleaseFolder } from "../action-runner/release-folder.ts";
import { Conversation } from "../github/conversation.ts";
import { GitHubApi } from "../github/server.ts";
import { guestServer } from "../helpers/guest-server.ts";
import { type SandboxRow, thawEnv, thawJson } from "../helpers/thaw.ts";

const SHA = "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b";
const names = async (): Promise<string[]> => (await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name);

test("a push shows a preview, a failing one leaves it, the next takes its place, a fork gets none, a close retires it", async () => {
  using release = makeReleaseFolder();
  const folder = mkdtempSync(join(tmpdir(), "thaw-preview-"));
  const talk = new Conversation(SHA);
  await using api = await GitHubApi.start(talk.handlers);
  const push = async (
    run: number,
    script: string,
    { action = "synchronize", from = "acme/shop" } = {},
  ): Promise<StepResult> => {
    const state = action === "closed" ? "closed" : "open";
    const head = { sha: SHA, ref: "topic", repo: { full_name: from } };
    const pull_request = { number: 412, state, user: { login: "ann" }, head };
    const repository = { full_name: "acme/shop", private: true };
    const event = join(folder, `event-${run}.json`);
    writeFileSync(event, JSON.stringify({ action, repository, sender: { login: "ann" }, pull_request }));
    const env = { ...thawEnv(), GITHUB_API_URL: api.url, GITHUB_RUN_ID: String(run) };
    await using job = new Job({ action: release.path, event, eventName: "pull_request", env });
    const inputs = {
      run: script,
      preview: "true",
      expose: "8080",
      ttl: "1h",
      workspace: "none",
      secrets: "TOKEN=s3cret-value",
    };
    const step = await job.step({ with: inputs });
    await job.end();
    return step;
  };
  const server = guestServer(8080, "hello").map((word) => `'${word}'`);
  const serve = `${server.join(" ")} >/dev/null 2>&1 &`;

  const first = await push(1, serve);
  expect(first).toMatchObject({ exitCode: 0, outputs: { outcome: "success" } });
  expect(first.outputs["preview-url"]).toMatch(/^http/);
  const [shown] = await names();
  expect(first.outputs.sandbox).toBe(shown);
  expect(talk.comments).toHaveLength(1);

  const failed = await push(2, "exit 9");
  expect(failed).toMatchObject({ exitCode: 9, outputs: { outcome: "failure" } });
  expect(await names()).toEqual([shown]);
  expect(talk.comments[0]?.body).toContain("No new preview");

  const second = await push(3, serve);
  expect(await names()).toEqual([second.outputs.sandbox]);

  const fork = await push(4, serve, { from: "eve/shop" });
  expect(fork).toMatchObject({ exitCode: 0, outputs: { outcome: "success" } });
  expect(fork.outputs["preview-url"]).toBeUndefined();
  expect(await names()).toEqual([second.outputs.sandbox]);

  await push(5, serve, { action: "closed" });
  expect(await names()).toEqual([]);
  expect(talk.comments).toHaveLength(1);
  expect(talk.comments[0]?.body).toContain("Preview was removed");
  expect(api.violations).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

test("comment: failure: how a failed step's capture is opened, gone when it passes; without the right, a notice that names it", async () => {
  using release = makeReleaseFolder();
  const folder = mkdtempSync(join(tmpdir(), "thaw-comment-"));
  const talk = new Conversation(SHA);
  await using api = await GitHubApi.start(talk.handlers);
  const head = { sha: SHA, ref: "topic", repo: { full_name: "acme/shop" } };
  const pull_request = { number: 412, state: "open", user: { login: "ann" }, head };
  const repository = { full_name: "acme/shop", private: true };
  const event = join(folder, "event.json");
  writeFileSync(
    event,
    JSON.stringify({ action: "opened", repository, sender: { login: "ann" }, pull_request }),
  );
  const env = { ...thawEnv(), GITHUB_API_URL: api.url };
  await using job = new Job({ action: release.path, event, eventName: "pull_request", env });
  const inputs = { comment: "failure", workspace: "none" };
  const run = (script: string) => job.step({ id: script, with: { ...inputs, run: script } });

  api.faults.set("issues/create-comment", { status: 403, message: "Resource not accessible", times: 1 });
  const denied = await run("exit 4");
  expect(denied.exitCode).toBe(4);
  expect(denied.honoured.map(({ data }) => data).join("\n")).toContain(
    "the comment could not be written (needs the permission pull-requests: write)",
  );
  const failed = await run("exit 5");
  expect(failed.exitCode).toBe(5);
  expect(talk.comments).toHaveLength(1);
  expect(talk.comments[0]?.body).toContain(`**Open the failure:** \`${failed.outputs["replay-command"]}\``);
  expect((await run("true")).exitCode).toBe(0);
  expect(talk.comments[0]?.body).not.toContain("Open the failure");
  expect(api.violations).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});
