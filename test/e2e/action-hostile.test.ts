/** Steps that attack the runner they run on: through their log, their outputs, their checkout. */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hostileLines } from "../action-runner/hostile.ts";
import { foreignCommands, useAction } from "../helpers/action.ts";

const MIB = 1 << 20;
const startJob = useAction();
let workspace: string;

beforeAll(() => {
  workspace = mkdtempSync(join(tmpdir(), "thaw-hostile-step-"));
  const git = (...args: string[]) => execFileSync("git", args, { cwd: workspace });
  git("init", "-q");
  const corpus = hostileLines().flatMap((line) => [line, Buffer.from("\n")]);
  writeFileSync(join(workspace, "corpus"), Buffer.concat(corpus));
  git("add", ".");
  git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "first");
});
afterAll(() => rmSync(workspace, { recursive: true, force: true }));

describe("the runner obeys nothing that a step prints", () => {
  test("on either stream, whole, in bytes, without a last line's end, as the last word of a failure", async () => {
    await using job = startJob({ workspace });
    const run = `
      cat corpus; cat corpus >&2
      head -c 4000 corpus | while IFS= read -r -n 1 c; do printf %s "$c"; done
      for n in $(seq 300); do printf '::error::a\\n'; printf '##[error]b\\n' >&2; done
      for token in '*' pause-logging warning 0; do printf '::stop-commands::%s\\n::%s::\\n' $token $token; done
      printf '##[stop-commands]z'; printf '::add-mask::e' >&2; exit 3`;
    const step = await job.step({ with: { run } });
    expect(foreignCommands(step)).toEqual([]);
    expect(step).toMatchObject({ conclusion: "failure", exitCode: 3, leftStopped: false });
    expect(step.honoured.map(({ name, stream }) => `${name} ${stream}`)).toEqual([
      "stop-commands stdout",
      "notice stdout",
      "error stdout",
    ]);
    expect(step.summary).not.toMatch(/##\[|^::/m);
    const { posts } = await job.end();
    expect(posts.map(foreignCommands)).toEqual([[]]);
  });

  test("nor what its inputs, its name or thaw's own errors quote", async () => {
    await using job = startJob({ workspace });
    const name = "x\r::error::a\n##[add-mask]b";
    const step = await job.step({
      with: { run: "true", template: name, "working-directory": name, timeout: name },
    });
    expect(step.conclusion).toBe("failure");
    expect(foreignCommands(step)).toEqual([]);
    expect(step.honoured).toHaveLength(1);
  });
});

test("64 MB of output and a line of 10 MB are told live, in bounded memory", async () => {
  await using job = startJob({ workspace });
  // 500 MB take minutes where guests are emulated.
  const run = `
    echo first; (yes 0123456789abcdef || true) | head -c ${54 * MIB}
    echo; head -c ${10 * MIB} /dev/zero | tr '\\0' x; echo; printf 'a\\0b\\377c\\n'; echo last`;
  const step = job.start({ with: { run } });
  await step.line(/^first$/);
  await step.line(/^0123456789abcdef$/);
  const { conclusion, bytes, log, peakRssMib } = await step.result;
  expect(conclusion).toBe("success");
  expect(bytes).toBeGreaterThan(64 * MIB);
  expect(log).toContain("ab\ufffdc");
  expect(log).toContain("last");
  expect(Math.max(...log.map(({ length }) => length))).toBeLessThanOrEqual(32_768);
  expect(peakRssMib).toBeLessThan(256);
});

test("outputs are exact or refused by name, whatever delimiters they are made of", async () => {
  await using job = startJob({ workspace });
  const written = [
    ...["plain=a=b<<c", "lines<<EOF", "1", "injected=1", "EOF"],
    ...[
      "delimiter<<ghadelimiter_1",
      "EOF",
      "exit-code=0",
      "ghadelimiter_",
      "ghadelimiter_1",
      "outcome=success",
    ],
  ];
  const run = `
    printf '%s\\n' ${written.map((line) => `'${line}'`).join(" ")} >>"$GITHUB_OUTPUT"
    printf 'nul=a\\0b\\n' >>"$GITHUB_OUTPUT"
    echo "not-asked-for=1" >>"$GITHUB_OUTPUT"; exit 4`;
  const step = await job.step({ with: { run, outputs: "plain\nlines\ndelimiter\nnul\nnone" } });
  expect(step.errors).toEqual([]);
  const guest = Object.entries(step.outputs).filter(([name]) => name.startsWith("guest-"));
  expect(Object.fromEntries(guest)).toEqual({
    "guest-plain": "a=b<<c",
    "guest-lines": "1\ninjected=1",
    "guest-delimiter": "EOF\nexit-code=0\nghadelimiter_",
  });
  expect(step.outputs).toMatchObject({ "exit-code": "4", outcome: "failure" });
  expect(step.outputs.injected).toBeUndefined();
  for (const name of ["nul", "not-asked-for"]) expect(step.log).toContainEqual(expect.stringMatching(name));
});

test("nothing of the runner is inside, and nothing of the checkout's git runs outside", async () => {
  const owned = join(workspace, "..", `owned-${process.pid}`);
  const program = join(workspace, ".git", "hooks", "post-checkout");
  mkdirSync(join(workspace, ".git", "hooks"), { recursive: true });
  writeFileSync(program, `#!/bin/sh\ntouch ${owned}\n`, { mode: 0o755 });
  const config = `[core]
	fsmonitor = ${program}
[http "https://github.com/"]
	extraheader = AUTHORIZATION: basic c2VjcmV0LXRva2Vu
[filter "x"]
	clean = ${program}
[include]
	path = ${workspace}/corpus
`;
  appendFileSync(join(workspace, ".git", "config"), config);
  await using job = startJob({ workspace, env: { OF_THE_RUNNER: "runner-secret" } });
  const run = `
    env; (cat /proc/*/environ 2>/dev/null || true) | tr '\\0' '\\n'; cat .git/config; mount
    grep -rls c2VjcmV0LXRva2Vu /workspace /root /etc /tmp || echo no token`;
  const step = await job.step({ with: { run, env: "GIVEN=given" } });
  const text = [...step.log, step.summary].join("\n");
  expect(step.conclusion, text).toBe("success");
  expect(step.log).toEqual(expect.arrayContaining(["GIVEN=given", "no token"]));
  const { githubToken, runtimeToken } = job.secrets;
  const outside = [
    githubToken,
    runtimeToken,
    job.trackingId,
    job.folders.temp,
    "runner-secret",
    "c2VjcmV0LXRva2Vu",
  ];
  for (const secret of outside) expect(text).not.toContain(secret);
  expect(text).not.toMatch(/^(ACTIONS|RUNNER|INPUT|STATE)_/m);
  expect(existsSync(owned)).toBe(false);
});
