import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { variableOf } from "../../../action/inputs.ts";
import { planStep, type StepPlan } from "../../../action/plan.ts";
import { checkFetched } from "../../../action/preview.ts";
import { InputMistakes } from "../../../action/reader.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "thaw-plan-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function plan(inputs: Record<string, string>, env: Record<string, string> = {}): Promise<StepPlan> {
  const given = Object.entries(inputs).map(([name, value]) => [variableOf(name), value]);
  return planStep({ GITHUB_WORKSPACE: folder, ...env, ...Object.fromEntries(given) }, { random: "r1" });
}

async function mistakes(
  inputs: Record<string, string>,
  env: Record<string, string> = {},
): Promise<readonly string[]> {
  const error = await plan(inputs, env).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputMistakes);
  return (error as InputMistakes).details;
}

function eventOf(repository: object): Record<string, string> {
  const file = join(folder, "event.json");
  writeFileSync(file, JSON.stringify({ repository }));
  return { GITHUB_EVENT_PATH: file };
}

describe("a plan", () => {
  test("a script alone: base, the checkout, captured on failure, gone with the step", async () => {
    const { title, argv, settings, keep, capture, reruns } = await plan({
      run: "set -x\n# first\nnpm test\n",
    });
    expect({ title, keep, capture, reruns }).toEqual({
      title: "npm test",
      keep: "step",
      capture: "on-failure",
      reruns: 0,
    });
    expect(argv.slice(0, 2)).toEqual(["sh", "-c"]);
    expect(argv[2]).toContain("bash -eo pipefail");
    expect(argv[3]).toBe("set -x\n# first\nnpm test");
    expect(settings).toMatchObject({ workspace: folder, env: { CI: "true" }, waitMs: 600_000 });
    expect(settings.ttlMs).toBeUndefined();
  });

  test("nothing of the runner's environment goes in by itself", async () => {
    const env = { MINE: "mine", OTHER: "other", ACTIONS_RUNTIME_TOKEN: "t", GITHUB_ENV: "/e" };
    const { settings, secrets } = await plan(
      { run: "true", env: "MINE\nB=two words", secrets: "TOKEN=s3cret-value" },
      env,
    );
    expect(settings.env).toEqual({ CI: "true", MINE: "mine", B: "two words", TOKEN: "s3cret-value" });
    expect(settings.mask).toEqual(["TOKEN"]);
    expect(secrets).toEqual({ TOKEN: "s3cret-value" });
    const refused = await mistakes(
      { run: "true", env: "ACTIONS_RUNTIME_TOKEN\nGITHUB_ENV=x\nABSENT\n9x=1" },
      env,
    );
    expect(refused.join()).toMatch(
      /ACTIONS_RUNTIME_TOKEN belongs to the runner.*GITHUB_ENV belongs.*ABSENT has no value.*"9x" is not/,
    );
  });

  test("modes and rules of the network", async () => {
    const { settings } = await plan({ run: "true", network: "none\n@npm, api.example.com !ads.example.com" });
    expect(settings.network).toEqual([
      { mode: "none", allow: ["@npm", "api.example.com"], deny: ["ads.example.com"], from: "workflow" },
    ]);
  });

  test("outputs have a file of the guest that nobody knows before, and a sandbox that stays until it was read", async () => {
    const { outputFile, settings, outputs, argv, leaseMs } = await plan({
      run: "true",
      outputs: "version, digest",
    });
    expect(outputs).toEqual(["version", "digest"]);
    expect(outputFile).toBe("/tmp/github-output-r1");
    expect(settings.env?.GITHUB_OUTPUT).toBe(outputFile);
    expect(argv[2]).toContain("$GITHUB_OUTPUT");
    expect({ ttlMs: settings.ttlMs, leaseMs }).toEqual({ ttlMs: 900_000, leaseMs: 900_000 });
  });

  test("a run of thaw.yaml: its command, its settings, and variables only as the workflow allows", async () => {
    writeFileSync(
      join(folder, "thaw.yaml"),
      "version: 1\nruns:\n  test:\n    command: npm test\n    template: node\n    capture: always\n    pass: [HOME, MINE]\n",
    );
    const { title, argv, settings, capture } = await plan(
      { name: "test", env: "MINE" },
      { HOME: "/root", MINE: "m" },
    );
    expect({ title, capture }).toEqual({ title: "test", capture: "always" });
    expect(argv).toEqual(["sh", "-e", "-c", "npm test"]);
    expect(settings).toMatchObject({ source: { template: "node" }, workspace: folder });
    expect(settings.env).toEqual({ CI: "true", MINE: "m" });
    const by = async (inputs: Record<string, string>) => (await plan(inputs)).settings.source;
    expect(await by({ name: "test", runner: "gvisor" })).toEqual({ template: "node", runner: "gvisor" });
    expect(await by({ run: "true", runner: "gvisor" })).toEqual({ runner: "gvisor" });
    expect(await by({ run: "true", snapshot: "node:24", runner: "qemu" })).toEqual({
      ...{ snapshot: "node:24", runner: "qemu" },
    });
    expect((await mistakes({ name: "tst" })).join()).toMatch(/name: .*no run tst.*did you mean test/);
  });

  test("where it came from, with the matrix", async () => {
    const env = { GITHUB_ACTIONS: "true", GITHUB_RUN_ID: "7", GITHUB_JOB: "test" };
    const { ci } = await plan({ run: "true", matrix: '{"os":"linux","node":24}' }, env);
    expect(ci).toEqual({ runId: "7", job: "test", matrix: "os=linux, node=24" });
  });
});

describe("mistakes are told all at once", () => {
  test("unknown inputs, wrong values and contradictions, with the nearest that is right", async () => {
    const found = await mistakes({
      rn: "x",
      template: "node",
      snapshot: "node:24",
      timeout: "10",
      cpus: "many",
      memory: "2",
      capture: "on-falure",
      isolation: "kvn",
      runner: "gVisor!",
      network: "none open",
      keep: "forever",
      outputs: "a b=c",
      artifacts: "../x",
      "queue-timeout": "soon",
      "rerun-on-failure": "-1",
      cache: "node_modules",
    });
    const text = found.join("\n");
    expect(found.length).toBeGreaterThanOrEqual(15);
    expect(text).toMatch(/^rn: there is no such input; did you mean run/m);
    expect(text).toMatch(/^run: missing/m);
    expect(text).toMatch(/^snapshot: can't be used with template/m);
    expect(text).toMatch(/^timeout: It is not a duration: write 500ms, 2s, 10m/m);
    expect(text).toMatch(/^cpus: "many" is not a number from 1 to 64/m);
    expect(text).toMatch(/^memory: /m);
    expect(text).toMatch(/^capture: "on-falure" is not on-failure/m);
    expect(text).toMatch(/^isolation: "kvn" is not a valid value: did you mean kvm/m);
    expect(text).toMatch(/^runner: "gVisor!" is not the name of a runner, such as qemu or gvisor/m);
    expect(text).toMatch(/^network: give only one of/m);
    expect(text).toMatch(/^keep: "forever" is not a valid value/m);
    expect(text).toMatch(/^outputs: "b=c"/m);
    expect(text).toMatch(/^artifacts: "\.\.\/x"/m);
    expect(text).toMatch(/^queue-timeout: /m);
    expect(text).toMatch(/^rerun-on-failure: /m);
    expect(text).toMatch(/^cache: give one line `key: …`/m);
    expect((await mistakes({ run: "true", template: "nod", timeout: "10" })).join("\n")).toMatch(
      /^template: there is no template nod; did you mean node/m,
    );
  });

  test.each([
    [{ run: "true", sandbox: "web", template: "node" }, /^template: can't be used with sandbox/],
    [{ run: "true", sandbox: "web", runner: "gvisor" }, /^runner: can't be used with sandbox/],
    [{ run: "true", sandbox: "web", keep: "job" }, /^keep: give it in the step that creates the sandbox/],
    [{ run: "true", ttl: "1h", keep: "false" }, /^ttl: needs/],
    [{ name: "x", shell: "bash" }, /shell: needs run/],
    [{ run: "true", shell: "zsh" }, /^shell: "zsh" is not bash, sh, python/],
    [{ run: "true", capture: "never", "rerun-on-failure": "3" }, /^rerun-on-failure: needs a capture/],
    [{ run: "true", "encrypt-to": "age1qx" }, /^encrypt-to: /],
    [{ run: "true", "capture-store": "artefact" }, /^capture-store: .*not host, artifact or oci:/],
    [
      { run: "true", "capture-store": "oci:ghcr.io/a/b", retention: "7d" },
      /retention: can't be used with a registry: set the retention/,
    ],
    [{ run: "true", retention: "7" }, /^retention: It is not a duration/],
    [{ run: "true", "capture-store": "oci:ghcr.io/a/b:tag" }, /^capture-store: .*each capture gets its own/],
    [{ run: "true", workspace: "nowhere" }, /^workspace: "nowhere" is not a folder/],
    [{ run: "true", template: "./none" }, /^template: can't read the template/],
    [{ run: "true", repository: "a/b", workspace: "none" }, /^workspace: can't be used with repository/],
    [{ run: "true", repository: "a/b", exclude: "x" }, /^exclude: can't be used with repository/],
    [{ run: "true", repository: "a/b", sandbox: "web" }, /^sandbox: can't be used with repository/],
    [{ run: "true", ref: "main" }, /^ref: needs repository/],
    [{ run: "true", token: "t" }, /^token: needs repository/],
    [{ run: "true", repository: "a/b/c" }, /^repository: "a\/b\/c" is not OWNER\/NAME/],
    [{ run: "true", repository: "https://h/a/b" }, /^repository: .* is not OWNER\/NAME/],
    [{ run: "true", repository: "a/.." }, /^repository: .* is not OWNER\/NAME/],
    [{ run: "true", repository: "a/%2e%2e" }, /^repository: .* is not OWNER\/NAME/],
    [{ run: "true", repository: "a/b", ref: "a..b" }, /^ref: "a\.\.b" is not a commit id, a branch/],
    [{ run: "true", repository: "a/b", ref: "a\nb" }, /^ref: "a\\nb" is not/],
    [{ run: "true", repository: "a/b", ref: "--upload-pack=x" }, /^ref: /],
    [{ run: "true", repository: "a/b", token: "a\nb: c" }, /^token: not a valid token/],
    [{ run: "true", preview: "true" }, /^expose: missing/],
    [{ run: "true", comment: "always" }, /^comment: "always" is not a valid value/],
  ])("%j", async (inputs, what) => {
    expect((await mistakes(inputs)).join("\n")).toMatch(what);
  });

  test.each([
    [{ repository: "acme/shop" }, { commit: "8f".repeat(20) }],
    [{ repository: "Acme/Shop", ref: "v1.2" }, { name: "v1.2" }],
    [{ repository: "eve/shop" }, { name: "HEAD" }],
    [{ repository: "eve/shop", ref: "AB".repeat(32) }, { commit: "ab".repeat(32) }],
    [{ repository: "eve/shop", ref: "refs/pull/7/merge" }, { name: "refs/pull/7/merge" }],
  ])("what is fetched: %j", async (inputs, wanted) => {
    const env = { GITHUB_REPOSITORY: "acme/shop", GITHUB_SHA: "8f".repeat(20) };
    const { code, settings } = await plan({ run: "true", "rerun-on-failure": "2", ...inputs }, env);
    expect(code).toMatchObject({ server: "https://github.com", wanted, token: undefined });
    expect(settings).toMatchObject({ workdir: "/workspace", checkpoint: true });
    expect(settings.workspace).toBeUndefined();
  });

  test.each(["http://ghes.example.com", "https://user@ghes.example.com", "ssh://ghes.example.com", "ghes"])(
    "no code, and no token, goes through %s",
    async (url) => {
      const env = { GITHUB_SERVER_URL: url };
      expect((await mistakes({ run: "true", repository: "a/b", token: "t" }, env)).join()).toMatch(
        /^repository: GITHUB_SERVER_URL is .*, which is not https:\/\/HOST$/,
      );
    },
  );

  test("a fork's preview is of the commit that was approved, not of a name for it", async () => {
    const sha = "8f".repeat(20);
    const planOf = (ref: string): Promise<StepPlan> => plan({ run: "true", repository: "acme/shop", ref });
    for (const ref of ["refs/pull/7/head", "ab".repeat(20), "main"]) {
      const other = await planOf(ref);
      expect(() => checkFetched(other, { isFork: true, sha })).toThrow(/not the pull request's commit/);
      expect(() => checkFetched(other, { isFork: false, sha })).not.toThrow();
    }
    const approved = await planOf(sha);
    expect(() => checkFetched(approved, { isFork: true, sha })).not.toThrow();
  });

  test("code that is fetched takes the place of the workspace that thaw.yaml names", async () => {
    writeFileSync(
      join(folder, "thaw.yaml"),
      "version: 1\nruns:\n  test: { workspace: ., command: npm test }\n",
    );
    const { code, settings } = await plan({ name: "test", repository: "a/b" });
    expect(code?.repository).toBe("a/b");
    expect(settings).toMatchObject({ workdir: "/workspace" });
    expect(settings.workspace).toBeUndefined();
  });

  test("a capture leaves a public repository's host encrypted only", async () => {
    const store = { run: "true", "capture-store": "oci:localhost:5000/failures" };
    expect((await mistakes(store, eventOf({ private: false }))).join()).toMatch(
      /capture-store: .*the repository is public/,
    );
    expect((await mistakes(store)).join()).toMatch(
      /capture-store: .*the repository is public, or the event does not say/,
    );
    expect(await plan(store, eventOf({ private: true }))).toMatchObject({
      captureStore: { kind: "registry", repository: store["capture-store"] },
    });
    expect((await mistakes(store, eventOf({ private: true, visibility: "public" }))).join()).toMatch(
      /public/,
    );
    const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    const encrypted = await plan({ ...store, "encrypt-to": recipient }, eventOf({ private: false }));
    expect(encrypted.recipients).toEqual([recipient]);
  });

  test("an artifact needs a service that takes it; the same rule of public repositories holds", async () => {
    const store = { run: "true", "capture-store": "artifact", retention: "36h" };
    const service = { ACTIONS_RESULTS_URL: "https://results.example/", ACTIONS_RUNTIME_TOKEN: "x.y.z" };
    const given = { ...service, ...eventOf({ private: true }) };
    expect(await plan(store, given)).toMatchObject({
      captureStore: { kind: "artifact" },
      retentionMs: 36 * 3_600_000,
    });
    expect((await mistakes(store, eventOf({ private: true }))).join()).toMatch(/has no artifact service/);
    expect((await mistakes(store, { ...service, ...eventOf({ private: false }) })).join()).toMatch(/public/);
    const server = { GITHUB_SERVER_URL: "https://git.acme.example" };
    eventOf({ private: true });
    expect((await mistakes(store, { ...given, ...server })).join()).toMatch(
      /capture-store: git.acme.example is a GitHub Enterprise Server/,
    );
    eventOf({ private: true });
    expect(await plan(store, { ...given, GITHUB_SERVER_URL: "https://acme.ghe.com" })).toMatchObject({
      captureStore: { kind: "artifact" },
    });
  });

  test("a link of the checkout leads nowhere", async () => {
    mkdirSync(join(folder, "app"));
    symlinkSync("/etc", join(folder, "out"));
    symlinkSync("/nowhere/at/all", join(folder, "dangling"));
    expect((await plan({ run: "true", workspace: "app" })).settings.workspace).toBe(join(folder, "app"));
    expect((await mistakes({ run: "true", workspace: "out" })).join()).toMatch(/is outside the checkout/);
    expect((await mistakes({ run: "true", template: "./out/passwd" })).join()).toMatch(
      /is outside the checkout/,
    );
    expect((await mistakes({ run: "true", patch: "out/x.patch" })).join()).toMatch(/is outside the checkout/);
    expect((await mistakes({ run: "true", patch: "dangling" })).join()).toMatch(/is outside the checkout/);
    expect((await mistakes({ run: "true", patch: "../x.patch" })).join()).toMatch(/is outside the checkout/);
    expect((await plan({ run: "true", patch: "new/x.patch" })).patch).toBe(join(folder, "new/x.patch"));
  });
});
