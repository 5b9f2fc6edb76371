/** Steps that do not come to their end, and what outlives a job. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { RunningStep } from "../action-runner/job.ts";
import { useAction } from "../helpers/action.ts";
import { daemonPid, killDaemon, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";

const startJob = useAction();

interface CaptureRow {
  id: string;
  sandbox: { id: string };
}

const sandboxes = async (): Promise<string[]> => (await thawJson<SandboxRow[]>(["ls"])).map(({ id }) => id);
const captures = async (): Promise<string[]> =>
  (await thawJson<CaptureRow[]>(["capture", "ls"])).map(({ sandbox }) => sandbox.id);

const RUN = "echo ready; sleep 600";

/** The step's sandbox, once its command runs. */
async function sandboxOf(step: RunningStep, before: string[]): Promise<string> {
  await step.line(/^ready$/);
  const [made = "", ...others] = (await sandboxes()).filter((id) => !before.includes(id));
  expect(others).toEqual([]);
  return made;
}

describe("a step that is cut off is captured as asked, and its sandbox goes", () => {
  test("by a cancel: SIGINT is enough, and the capture is an output", async () => {
    await using job = startJob();
    const before = await sandboxes();
    const step = job.start({ with: { run: RUN, capture: "cancel" } });
    const sandbox = await sandboxOf(step, before);
    await step.process.cancel();
    const result = await step.result;
    expect(result).toMatchObject({
      conclusion: "cancelled",
      signal: null,
      exitCode: 130,
      leftStopped: false,
    });
    expect(result.outputs).toMatchObject({ outcome: "cancelled", capture: expect.any(String) });
    expect((await job.end()).posts).toMatchObject([{ conclusion: "success" }]);
    expect(await sandboxes()).not.toContain(sandbox);
    await until(async () => (await captures()).includes(sandbox), "the capture");
  });

  test("by SIGKILL of the main step", async () => {
    await using job = startJob();
    const before = await sandboxes();
    const step = job.start({ with: { run: RUN, capture: "cancel" } });
    const sandbox = await sandboxOf(step, before);
    step.process.kill();
    expect(await step.result).toMatchObject({ conclusion: "failure", signal: "SIGKILL" });
    expect((await job.end()).posts).toMatchObject([{ conclusion: "success" }]);
    await until(async () => !(await sandboxes()).includes(sandbox), "the sandbox to go");
    await until(async () => (await captures()).includes(sandbox), "the capture");
  });

  test("by the loss of the runner, without a post step; and nothing is kept where nobody asked", async () => {
    await using job = startJob();
    const before = await sandboxes();
    const step = job.start({ with: { run: RUN, capture: "never" } });
    const sandbox = await sandboxOf(step, before);
    step.process.kill();
    job.vanish();
    await until(async () => !(await sandboxes()).includes(sandbox), "the sandbox to go");
    expect(await captures()).not.toContain(sandbox);
  });

  test("by the loss of the runner while files are read: the sandbox has minutes to live, and nobody renews them", async () => {
    await using job = startJob();
    const before = await sandboxes();
    const slowGit = "printf '#!/bin/sh\\nsleep 600\\n' >/usr/local/bin/git; chmod +x /usr/local/bin/git";
    const step = job.start({
      with: { run: `${slowGit}; echo ready; sleep 2`, patch: "x.patch" },
    });
    const sandbox = await sandboxOf(step, before);
    const look = async () =>
      (await thawJson<{ id: string; leased: boolean; expiresAt: string | null }[]>(["ls"])).find(
        ({ id }) => id === sandbox,
      );
    await until(async () => (await look())?.leased === false, "the command to end");
    step.process.kill();
    await step.result;
    job.vanish();
    const restMs = Date.parse((await look())?.expiresAt ?? "") - Date.now();
    expect([restMs > 0, restMs <= 900_000]).toEqual([true, true]);
    await thaw(["rm", sandbox]);
  });

  test("by SIGKILL before there is a machine", async () => {
    await using job = startJob();
    const before = await sandboxes();
    const step = job.start({ with: { run: RUN } });
    step.process.kill();
    await step.result;
    expect((await job.end()).posts).toMatchObject([{ conclusion: "success" }]);
    await until(async () => (await sandboxes()).every((id) => before.includes(id)), "nothing to be left");
  });
});

test("a daemon that is killed in the middle of a step changes neither its log nor its result", async () => {
  await using job = startJob();
  const step = job.start({ with: { run: "echo ready; sleep 5; echo done; exit 4", capture: "on-failure" } });
  await step.line(/^ready$/);
  await killDaemon();
  const { log, exitCode, outputs } = await step.result;
  expect(log.filter((line) => /^(ready|done)$/.test(line))).toEqual(["ready", "done"]);
  expect(exitCode).toBe(4);
  expect(outputs).toMatchObject({ "exit-code": "4", outcome: "failure", capture: expect.any(String) });
  expect((await job.end()).posts).toMatchObject([{ conclusion: "success" }]);
});

test("a kept sandbox answers after the job's processes were killed and the action's folder deleted", async () => {
  await thaw(["daemon", "stop"]);
  await using job = startJob();
  const step = await job.step({ with: { run: "echo kept >/root/kept", keep: "true", ttl: "10m" } });
  const { sandbox = "" } = step.outputs;
  expect(sandbox).not.toBe("");
  const daemon = await daemonPid();
  expect(readFileSync(`/proc/${daemon}/environ`, "utf8")).not.toContain("RUNNER_TRACKING_ID");
  expect(await job.end()).toMatchObject({ posts: [{ conclusion: "success" }], orphans: [], changed: [] });
  expect(await daemonPid()).toBe(daemon);
  expect((await thaw(["exec", sandbox, "--", "cat", "/root/kept"])).stdout).toBe("kept\n");
  await thaw(["rm", sandbox]);
});

test("a daemon from a read-only action leaves a state folder that its user can delete", async () => {
  const home = mkdtempSync(join(tmpdir(), "thaw-read-only-"));
  const env = { THAW_HOME: home };
  await using job = startJob({ env });
  try {
    const step = await job.step({ with: { run: "true", snapshot: "no-such-snapshot", workspace: "none" } });
    expect(step.outputs).toMatchObject({ outcome: "error" });
    const locked = execFileSync("find", [join(home, "versions"), "-type", "d", "!", "-perm", "-u+w"], {
      encoding: "utf8",
    });
    expect(locked).toBe("");
  } finally {
    await thaw(["daemon", "stop"], { env });
    rmSync(home, { recursive: true, force: true });
  }
});

test("two steps of one job and one of another run at once, each with a sandbox, outputs and a log of its own", async () => {
  await using job = startJob();
  await using other = startJob();
  const step = (name: string) => ({
    with: {
      run: `for n in 1 2 3; do echo ${name} $n; done; echo "made=${name}" >>"$GITHUB_OUTPUT"`,
      outputs: "made",
      keep: "job",
    },
  });
  const results = await Promise.all([job.step(step("a")), job.step(step("b")), other.step(step("c"))]);
  const names = results.map(({ outputs }) => outputs.sandbox ?? "");
  expect(new Set(names).size).toBe(3);
  for (const [index, name] of ["a", "b", "c"].entries()) {
    expect(results[index]?.outputs["guest-made"]).toBe(name);
    expect(results[index]?.log.filter((line) => /^[abc] \d$/.test(line))).toEqual(
      [1, 2, 3].map((n) => `${name} ${n}`),
    );
  }
  for (const { posts } of [await job.end(), await other.end()])
    for (const post of posts) expect(post.conclusion).toBe("success");
  const left = (await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name);
  expect(left.filter((name) => names.includes(name))).toEqual([]);
});
