import { afterEach, beforeEach, expect, test } from "vitest";
import { listCaptureNotices } from "../../../github/captures.ts";
import { connectGitHub, type GitHub } from "../../../github/client.ts";
import { findPullRequest } from "../../../github/pull-requests.ts";
import { getRun, listFailedJobs, listFailedRuns } from "../../../github/runs.ts";
import { GitHubApi } from "../../github/server.ts";
import { worldHandlers } from "../../github/world.ts";

const shop = { owner: "acme", repo: "shop" };
const red = { branch: "topic", conclusion: "failure" };
const capture = { id: "fail-7k2qxz", place: { kind: "host", host: "ci-3" } } as const;
const jobs = [
  { id: 1, name: "lint", conclusion: "success" },
  {
    id: 2,
    name: "unit",
    conclusion: "failure",
    annotations: [{ title: null, message: "exit 1" }],
    notices: [capture],
  },
  { id: 3, name: "e2e", conclusion: "failure" },
];
let api: GitHubApi;
let github: GitHub;

beforeEach(async () => {
  const runs = [
    { ...red, id: 8814, from: "mallory/shop", startedAt: "2026-11-26T11:00:00Z" },
    { ...red, id: 8812, startedAt: "2026-11-26T09:00:00Z", jobs },
    { ...red, id: 8811, startedAt: "2026-11-26T08:30:00Z", conclusion: "timed_out" },
    { ...red, id: 8813, conclusion: "success" },
  ];
  const pullRequests = [{ number: 7, branch: "topic" }];
  api = await GitHubApi.start(worldHandlers([{ name: "acme/shop", runs, pullRequests }]), { pageSize: 1 });
  github = await connectGitHub({ apiUrl: api.url, token: "of-the-test" });
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  expect(api.violations).toEqual([]);
});

test("failed runs over pages, the newest first, none of a fork's branch of that name", async () => {
  const runs = await listFailedRuns(github, shop, { branch: "topic", headRepository: "Acme/shop", limit: 3 });
  expect(runs.map(({ id }) => id)).toEqual([8812, 8811]);
  expect(api.asked.every(({ token }) => token === "of-the-test")).toBe(true);
});

test("failed jobs over pages, and what they announced", async () => {
  const run = await getRun(github, shop, { id: 8812 });
  const failed = await listFailedJobs(github, shop, run);
  expect(failed.map(({ name }) => name)).toEqual(["unit", "e2e"]);
  expect(await listCaptureNotices(github, shop, { id: 2 })).toEqual([
    { ...capture, step: undefined, ending: undefined },
  ]);
  expect(await listCaptureNotices(github, shop, { id: 3 })).toEqual([]);
  expect((await findPullRequest(github, shop, { owner: "acme", branch: "topic" }))?.number).toBe(7);
});

const soon = String(Math.floor(Date.now() / 1000) + 900);
test.each([
  ["401", { status: 401, message: "Bad credentials" }, "github-denied", "does not accept the token"],
  [
    "the rate limit",
    {
      status: 403,
      message: "API rate limit",
      headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": soon },
    },
    ...["github-denied", "the rate limit of 5000 requests an hour is used up; it resets at"],
  ],
  [
    "the secondary limit",
    { status: 403, message: "You have exceeded a secondary rate limit", headers: { "retry-after": "61" } },
    ...["github-denied", "try again in 61 s"],
  ],
  ["429", { status: 429, message: "slow down" }, "github-denied", "too many requests"],
  [
    "a missing permission",
    {
      ...{ status: 403, message: "Resource not accessible by integration" },
      headers: { "x-accepted-github-permissions": "actions=read" },
    },
    ...["github-denied", "the token lacks the permission actions: read"],
  ],
  [
    "404",
    { status: 404, message: "Not Found" },
    "not-found",
    "GitHub has no /repos/acme/shop/actions/runs/8812 (404)",
  ],
  ["502 for ever", { status: 502, message: "Bad gateway" }, "github-unreachable", "GitHub failed at GET"],
] as const)("%s is told in words", async (_name, fault, code, message) => {
  api.faults.set("actions/get-workflow-run", { ...fault });
  const told = getRun(github, shop, { id: 8812 });
  await expect(told).rejects.toMatchObject({
    name: "GitHubError",
    code,
    message: expect.stringContaining(message),
  });
  await expect(told).rejects.toMatchObject({ hint: expect.stringMatching(/./) });
});

test("a failure of GitHub's own that passes is not noticed; no server and a wrong answer are", async () => {
  api.faults.set("actions/get-workflow-run", { status: 503, message: "unicorn", times: 1 });
  expect((await getRun(github, shop, { id: 8812 })).id).toBe(8812);
  api.handlers["actions/get-workflow-run"] = () => ({ body: { id: "8812" } });
  await expect(getRun(github, shop, { id: 8812 })).rejects.toThrow("not in the documented format");
  expect(api.violations.splice(0)).toHaveLength(1);
  const nobody = await connectGitHub({ apiUrl: "http://127.0.0.1:1" });
  await expect(getRun(nobody, shop, { id: 1 })).rejects.toMatchObject({
    ...{ code: "github-unreachable", message: expect.stringContaining("can't reach http://127.0.0.1:1") },
  });
});
