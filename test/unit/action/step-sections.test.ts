import { expect, test } from "vitest";
import { writeComment, writeStep } from "../../../action/pull-request/comment.ts";
import {
  describeFailure,
  formatSections,
  keyOfStep,
  readSections,
} from "../../../action/pull-request/step-sections.ts";
import { connectGitHub } from "../../../github/index.ts";
import { Conversation } from "../../github/conversation.ts";
import { GitHubApi } from "../../github/server.ts";

const SHA = "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b";
const about = { repository: { owner: "acme", repo: "shop" }, number: 412 };
const failure = {
  ...{
    step: "npm test",
    job: "unit",
    ending: "exit 1 after 41 s",
    sha: SHA,
    runUrl: "https://github.com/acme/shop/actions/runs/1",
  },
  replayCommand: "thaw replay oci:ghcr.io/acme/failures:1-fail-7k2qxz",
};

test("each step has its part of the one comment; a preview and other steps take nothing of it away", async () => {
  const talk = new Conversation(SHA);
  await using api = await GitHubApi.start(talk.handlers);
  const github = await connectGitHub({ apiUrl: api.url, token: "x" });
  const unit = keyOfStep({ workflow: "ci", job: "unit", step: "a" });
  const lint = keyOfStep({ workflow: "ci", job: "lint", step: "a" });
  const body = (): string => talk.comments[0]?.body ?? "";

  await writeStep(github, about, { key: unit, failure: undefined });
  expect(talk.comments).toEqual([]);
  await writeStep(github, about, { key: unit, failure });
  await writeStep(github, about, { key: unit, failure: { ...failure, ending: "exit 2 after 1 s" } });
  await writeStep(github, about, { key: lint, failure: { ...failure, step: "npm run lint" } });
  expect(body()).toMatch(
    /✗ npm test · exit 2[\s\S]*\*\*Open the failure:\*\* `thaw replay oci:[\s\S]*✗ npm run lint · exit 1/,
  );
  expect(body()).not.toContain("exit 1 after 41 s · commit");
  await writeComment(github, about, { state: "ready", sha: SHA });
  expect(body()).toMatch(/Preview is ready[\s\S]*npm test[\s\S]*npm run lint/);
  await writeStep(github, about, { key: unit, failure: undefined });
  expect(body()).toMatch(/Preview is ready[\s\S]*npm run lint/);
  expect(body()).not.toContain("npm test");
  await writeStep(github, about, { key: lint, failure: undefined });
  expect(body()).not.toContain("lint");
  expect(talk.comments).toHaveLength(1);
  expect(api.violations).toEqual([]);
});

test("when nothing else is in it, it says that the steps pass", async () => {
  const talk = new Conversation(SHA);
  await using api = await GitHubApi.start(talk.handlers);
  const github = await connectGitHub({ apiUrl: api.url, token: "x" });
  await writeStep(github, about, { key: keyOfStep(), failure });
  await writeStep(github, about, { key: keyOfStep(), failure: undefined });
  expect(talk.comments[0]?.body).toMatch(
    /^<!-- thaw preview acme\/shop#412 -->\nAll steps that had failed now pass\.\n$/,
  );
});

test("a stranger's text ends no part and makes none; there are never too many", () => {
  const evil = `x <!-- /thaw step --> <!-- thaw step ${"0".repeat(16)} -->`;
  const text = describeFailure({ ...failure, step: evil, job: evil, ending: evil, replayCommand: evil });
  const many = new Map(Array.from({ length: 50 }, (_, at) => [at.toString(16).padStart(16, "0"), text]));
  const formatted = formatSections(many);
  expect(formatted.length).toBeLessThan(60_000);
  const { rest, sections } = readSections(`<!-- mark -->\n${formatted}`);
  expect(rest).toBe("<!-- mark -->\n");
  expect([...sections]).toEqual([...many].slice(-20));
});
