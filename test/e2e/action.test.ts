/** The Action as it is released, run by a runner's rules, with real sandboxes. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parseCaptureNotice } from "../../github/capture-notice.ts";
import { Job, type StepResult } from "../action-runner/job.ts";
import { makeReleaseFolder, type ReleaseFolder } from "../action-runner/release-folder.ts";
import { startRegistry } from "../helpers/registry.ts";
import { type SandboxRow, thaw, thawEnv, thawJson, until } from "../helpers/thaw.ts";

let release: ReleaseFolder;

beforeAll(() => {
  release = makeReleaseFolder();
});
afterAll(() => release[Symbol.dispose]());

function makeJob(options: Partial<ConstructorParameters<typeof Job>[0]> = {}): Job {
  return new Job({ action: release.path, ...options, env: { ...thawEnv(), ...options.env } });
}

interface CaptureRow {
  id: string;
  trigger: string;
  ci: Record<string, string> | null;
  notes: { maxAgeMs: number | null };
}

const sandboxes = async (): Promise<string[]> =>
  (await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name);
const capturesOf = (): Promise<CaptureRow[]> => thawJson<CaptureRow[]>(["capture", "ls"]);
const logOf = ({ log }: StepResult): string => log.join("\n");
/** Annotations are shown too. */
const saidBy = ({ log, honoured }: StepResult): string =>
  [...log, ...honoured.map(({ data }) => data)].join("\n");

describe("a step", () => {
  test("fails as its script does; the machine is kept, and the summary says how to open it", async () => {
    await using job = makeJob({ matrix: { os: "linux", node: 24 } });
    const step = await job.step({
      with: { run: 'cat package.json; echo "<b>&</b>"; exit 3', capture: "on-failure", retention: "7d" },
    });
    expect(step).toMatchObject({ conclusion: "failure", exitCode: 3, leftStopped: false });
    expect(logOf(step)).toContain('"name": "shop"');
    const { capture = "", "replay-command": replay } = step.outputs;
    expect(step.outputs).toMatchObject({ "exit-code": "3", outcome: "failure" });
    expect(replay).toBe(`thaw replay ${capture}`);
    const notice = step.honoured.find(({ name }) => name === "notice");
    const { title = null } = notice?.properties ?? {};
    expect(parseCaptureNotice({ title, message: notice?.data ?? null })).toMatchObject({
      id: capture,
      place: { kind: "host", host: hostname() },
    });
    expect(step.summary).toContain("exit 3 after");
    expect(step.summary).toContain(`**Open the failure:** \`thaw replay ${capture}\``);
    expect(step.summary).toMatch(/isolated by (kvm|emulated \(jailed\))/);
    expect(step.summary).toContain("| thaw | workspace | run | capture | total |");
    const found = (await capturesOf()).find(({ id }) => id === capture);
    expect(found?.notes.maxAgeMs).toBe(7 * 86_400_000);
    expect(found?.ci).toMatchObject({ repository: "acme/shop", job: "test", matrix: "os=linux, node=24" });
    expect(await sandboxes()).toEqual([]);
    const { posts, orphans, changed } = await job.end();
    expect(posts.map(({ conclusion }) => conclusion)).toEqual(["success"]);
    expect({ orphans, changed }).toEqual({ orphans: [], changed: [] });
    expect((await thaw(["replay", capture, "--", "cat", "/workspace/hello.sh"])).stdout).toContain(
      "hello from",
    );
  });

  test("gives outputs that are listed, artifacts and a patch; nothing that a guest writes leaves the checkout", async () => {
    await using job = makeJob();
    const folder = job.folders.workspace;
    symlinkSync("/etc", join(folder, "evil"));
    const run = [
      'printf "version<<EOF-1\\n1.2\\nEOF\\nEOF-1\\nPATH=/evil\\n" >>"$GITHUB_OUTPUT"',
      "mkdir -p out/deep reports && echo a >out/deep/a.txt && ln -s /etc/passwd out/link",
      "echo 1 >reports/1.xml; echo 2 >reports/2.xml; echo 3 >reports/3.txt",
      "rm evil; mkdir evil; echo x >evil/x",
      "mkdir -p out/.git .git/hooks && echo x >out/.git/config && echo x >.git/hooks/post-checkout",
      "echo changed >>hello.sh",
    ].join("\n");
    const step = await job.step({
      with: {
        run,
        outputs: "version",
        artifacts: "out\nreports/*.xml\nevil/x\nnone/*\n.git/hooks/*",
        patch: "step.patch",
      },
    });
    expect(step.conclusion).toBe("success");
    expect(step.outputs).toMatchObject({ "guest-version": "1.2\nEOF", outcome: "success" });
    expect(Object.keys(step.outputs)).not.toContain("guest-PATH");
    expect(readFileSync(join(folder, "out/deep/a.txt"), "utf8")).toBe("a\n");
    expect(existsSync(join(folder, "reports/1.xml"))).toBe(true);
    expect(existsSync(join(folder, "reports/3.txt"))).toBe(false);
    expect(lstatSync(join(folder, "out/link"), { throwIfNoEntry: false })).toBeUndefined();
    expect(existsSync("/etc/x")).toBe(false);
    for (const path of ["out/.git", ".git/hooks/post-checkout"])
      expect(existsSync(join(folder, path))).toBe(false);
    const log = logOf(step);
    expect(log).toMatch(/out: not copied: \.git\/config: files of .git are not copied to the runner/);
    expect(log).toContain("artifacts: .git/hooks/*: files of .git are not copied to the runner");
    expect(log).toContain('output not set: "PATH" is not listed in `outputs`');
    expect(log).toMatch(/evil\/x.*is outside the checkout/);
    expect(log).toContain("artifacts: no file or folder matches none/*");
    const patch = readFileSync(join(folder, "step.patch"), "utf8").replace(/\nchanged\n/, "\n+changed\n");
    expect(patch).toContain("+changed");
    const clone = join(job.folders.temp, "clone");
    execFileSync("git", ["clone", "-q", folder, clone]);
    execFileSync("git", ["apply", "--check", join(folder, "step.patch")], { cwd: clone });
    expect(await sandboxes()).toEqual([]);
  });

  test("mistakes are told all at once, and nothing is started", async () => {
    await using job = makeJob();
    const step = await job.step({
      with: { run: "true", timeout: "10", template: "nod", nme: "x", capture: "sometimes" },
    });
    expect(step).toMatchObject({ conclusion: "failure", outputs: { outcome: "error" } });
    const log = saidBy(step);
    for (const part of [
      "timeout: It is not a duration",
      "nme: there is no such input; did you mean name",
      "capture: ",
    ])
      expect(log).toContain(part);
    const unknown = await job.step({ with: { run: "true", template: "nod" } });
    expect(saidBy(unknown)).toMatch(/nod.*did you mean node/);
  });
});

test("what is excluded does not go in; a failure is run again as often as asked, and the verdict told", async () => {
  await using job = makeJob();
  const step = await job.step({
    with: { run: "ls; exit 3", exclude: "package.json\n*.none", "rerun-on-failure": "2" },
  });
  expect(step).toMatchObject({ exitCode: 3, outputs: { outcome: "failure", "flake-verdict": "broken" } });
  expect(logOf(step)).toContain("hello.sh");
  expect(logOf(step)).not.toContain("package.json");
  expect(logOf(step)).toMatch(/run 1 of 2: failed[\s\S]*run 2 of 2: failed/);
  expect(step.summary).toMatch(
    /\*\*Broken:\*\* 2 of 2 reruns from the same state failed \(100 %, 95 %: \d+–100 %\)/,
  );
  expect(await sandboxes()).toEqual([]);
});

describe("two steps, one sandbox", () => {
  test("the second goes on where the first was, with a network of its own, and the job's end removes it", async () => {
    await using job = makeJob();
    const first = await job.step({
      id: "first",
      with: { run: "echo installed >/opt/state", keep: "job", network: "@npm" },
    });
    expect(first.conclusion).toBe("success");
    const sandbox = first.outputs.sandbox ?? "";
    const second = await job.step({
      with: {
        run: "cat /opt/state; ls hello.sh; timeout 20 bash -c 'exec 3<>/dev/tcp/registry.npmjs.org/443; cat <&3' || true; exit 7",
        sandbox,
        network: "none",
        shell: "bash",
      },
    });
    expect(logOf(second)).toContain("installed");
    expect(logOf(second)).toContain("hello.sh");
    expect(second.outputs).toMatchObject({ sandbox, outcome: "failure" });
    expect(second.outputs.capture).toMatch(/^fail-/);
    expect(logOf(second)).toMatch(/denied: registry.npmjs.org:443 .*add registry.npmjs.org to network:/);
    expect(await sandboxes()).toEqual([sandbox]);
    await job.end();
    expect(await sandboxes()).toEqual([]);
  });
});

describe("a step that does not come to its end", () => {
  test("cancelled: captured where the policy says so, and removed", async () => {
    await using job = makeJob();
    const step = job.start({
      with: { run: 'trap "" INT TERM; echo READY; sleep 300', capture: "cancel", workspace: "none" },
    });
    await step.line(/READY/);
    await step.process.cancel();
    const ended = await step.result;
    expect(ended).toMatchObject({
      conclusion: "cancelled",
      outputs: { outcome: "cancelled", "exit-code": "130" },
    });
    await until(async () => (await sandboxes()).length === 0, "the sandbox to go");
    const [newest] = await capturesOf();
    expect(newest).toMatchObject({ trigger: "cancel", id: ended.outputs.capture });
    await job.end();
  });

  test("killed in the sandbox of an earlier step: the command is ended by the post step", async () => {
    await using job = makeJob();
    const first = await job.step({ with: { run: "true", keep: "true", ttl: "1h", workspace: "none" } });
    const sandbox = first.outputs.sandbox ?? "";
    const step = job.start({ with: { run: "echo READY; sleep 300", sandbox } });
    await step.line(/READY/);
    step.process.kill();
    await step.result;
    const { posts } = await job.end();
    expect(posts.map(({ conclusion }) => conclusion)).toEqual(["success", "success"]);
    // It outlives the job, whose folder and processes are gone.
    expect((await thaw(["exec", sandbox, "--", "sh", "-c", "pgrep -x sleep || echo none"])).stdout).toBe(
      "none\n",
    );
    await thaw(["rm", sandbox]);
  });
});

describe("a capture in a store", () => {
  test("carries run, job and itself in its tag and replays; a registry that is down leaves it on the host", async () => {
    const folder = mkdtempSync(join(tmpdir(), "thaw-action-"));
    const registry = await startRegistry(folder);
    onTestFinished(() => registry.stop());
    const login = { REGISTRY_AUTH_FILE: registry.authFile };
    await using job = makeJob({ env: login });
    const store = `oci:${registry.host}/failures`;
    const step = await job.step({ with: { run: "exit 5", "capture-store": store, workspace: "none" } });
    const { capture = "", "replay-command": replay } = step.outputs;
    expect(step.exitCode).toBe(5);
    expect(capture).toMatch(new RegExp(`^${store}:acme-shop-\\d+-\\d+-test-.*fail-[a-z0-9]+$`));
    expect(replay).toBe(`thaw replay ${capture}`);
    expect((await thaw(["capture", "check", capture], { env: login })).exitCode).toBe(0);
    const lost = await job.step({
      with: {
        run: "exit 6",
        "capture-store": "oci:127.0.0.1:9/failures",
        "capture-timeout": "5s",
        workspace: "none",
      },
    });
    expect(lost.exitCode).toBe(6);
    expect(lost.outputs.capture).toMatch(/^fail-/);
    expect(logOf(lost)).toMatch(/the capture stays on .* as fail-/);
    const event = join(job.folders.temp, "public.json");
    writeFileSync(event, JSON.stringify({ repository: { full_name: "acme/shop", visibility: "public" } }));
    await using open = makeJob({ event });
    expect(saidBy(await open.step({ with: { run: "exit 5", "capture-store": store } }))).toMatch(
      /repository is public/,
    );
  });
});
