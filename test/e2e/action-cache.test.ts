/** The Action's input `cache`: who reads whose folders, and who writes any. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Job, type StepResult } from "../action-runner/job.ts";
import { makeReleaseFolder } from "../action-runner/release-folder.ts";
import { thaw, thawEnv, thawJson } from "../helpers/thaw.ts";

interface CacheRow {
  id: string;
  scope: string;
  key: string;
}

test("a branch's step keeps its folders for the next; a pull request reads the base's and writes its own, a fork's writes none", async () => {
  using release = makeReleaseFolder();
  const folder = mkdtempSync(join(tmpdir(), "thaw-action-cache-"));
  const repository = { full_name: "acme/shop", default_branch: "main", private: true };
  const cache = "key: deps-1\nrestore: deps-\nnode_modules\n~/.npm";
  const step = async (
    run: string,
    { payload = {}, name = "push", ref = "refs/heads/main", input = cache } = {},
  ) => {
    const event = join(folder, "event.json");
    writeFileSync(event, JSON.stringify({ repository, ...payload }));
    const env = { ...thawEnv(), GITHUB_REF: ref };
    await using job = new Job({ action: release.path, event, eventName: name, env });
    const result = await job.step({ with: { run, cache: input, workspace: "none" } });
    await job.end();
    return result;
  };
  const pull = (from: string) => ({
    payload: { pull_request: { number: 7, base: { ref: "main" }, head: { repo: { full_name: from } } } },
    name: "pull_request",
    ref: "refs/pull/7/merge",
  });
  const said = ({ log }: StepResult) => log.flatMap((line) => /^thaw: (cache: .*)/.exec(line)?.[1] ?? []);
  const kept = async () =>
    (await thawJson<CacheRow[]>(["cache", "ls"])).map(({ scope, key }) => `${scope} ${key}`);

  const removeAll = async () => {
    for (const { id } of await thawJson<CacheRow[]>(["cache", "ls"])) await thaw(["cache", "rm", id]);
  };

  await removeAll();
  const failed = await step("echo half >/workspace/node_modules/half; exit 1");
  expect([failed.exitCode, said(failed)]).toEqual([1, ["cache: no cache for deps-1 yet"]]);
  expect(await kept()).toEqual([]);
  const first = await step("echo main >/workspace/node_modules/of");
  expect([first.exitCode, said(first)]).toEqual([
    0,
    ["cache: no cache for deps-1 yet", expect.stringMatching(/^cache: saved deps-1 \(.+, .+\)$/)],
  ]);
  const second = await step("cat /workspace/node_modules/of; echo mine >/workspace/node_modules/of");
  expect(second.log.join("\n")).toContain("main");
  expect(said(second)).toEqual([
    "cache: deps-1 (refs/heads/main)",
    "cache: not saved: deps-1 is already saved",
  ]);

  const other = cache.replace("deps-1", "deps-2");
  const evil = await step("cat /workspace/node_modules/of; echo evil >/workspace/node_modules/of", {
    ...pull("mallory/shop"),
    input: other,
  });
  expect(evil.log.join("\n")).toContain("main");
  expect(said(evil)).toEqual([
    "cache: deps-1 (refs/heads/main), because there is no cache for deps-2; this run saves no cache",
  ]);
  expect(await kept()).toEqual(["refs/heads/main deps-1"]);
  const own = await step("cat /workspace/node_modules/of", { ...pull("acme/shop"), input: other });
  expect(own.log.join("\n")).toContain("main");
  expect((await kept()).sort()).toEqual(["refs/heads/main deps-1", "refs/pull/7 deps-2"]);
  expect(await thawJson(["ls"])).toEqual([]);

  await removeAll();
  rmSync(folder, { recursive: true });
});
