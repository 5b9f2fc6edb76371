/** `thaw open`: in a clone with a red run, served by a local server of GitHub's API. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { GitHubApi } from "../github/server.ts";
import { type WorldRepository, type WorldRun, worldHandlers } from "../github/world.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawBin, thawEnv } from "../helpers/thaw.ts";

let folder: string;
let checkout: string;
let api: GitHubApi;
let shop: WorldRepository;

/** Of a job of run 8812, as the runner sets them. */
const job = {
  ...{
    GITHUB_ACTIONS: "true",
    GITHUB_REPOSITORY: "acme/shop",
    GITHUB_RUN_ID: "8812",
    GITHUB_RUN_ATTEMPT: "1",
  },
  ...{ GITHUB_JOB: "unit", GITHUB_REF: "refs/heads/topic", GITHUB_REF_NAME: "topic" },
};
const red: WorldRun = { id: 8812, branch: "topic", conclusion: "failure" };

function open(args: string[], env: Record<string, string> = {}) {
  const own = {
    GITHUB_API_URL: api.url,
    GH_TOKEN: "of-the-test",
    GITHUB_ACTIONS: "",
    XDG_CONFIG_HOME: join(folder, "config"),
  };
  return execa(process.execPath, [resolve(thawBin), "open", ...args], {
    ...{ cwd: checkout, reject: false, stripFinalNewline: false, timeout: 300_000 },
    env: { ...thawEnv(), ...own, ...env },
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thaw-open-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  checkout = await mkdtemp(join(folder, "checkout-"));
  await execa("git", ["init", "-q", "-b", "topic", checkout]);
  await execa("git", ["-C", checkout, "remote", "add", "origin", "git@github.com:acme/shop.git"]);
  shop = { name: "acme/shop", runs: [red], pullRequests: [{ number: 7, branch: "topic" }] };
  api = await GitHubApi.start(worldHandlers([shop]));
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  expect(api.violations).toEqual([]);
});

describe("what is told", () => {
  test("failed runs, their jobs and captures; a stranger's text does nothing in a terminal", async () => {
    const place = { kind: "store", reference: "oci:ghcr.io/acme/failures:8812-1-unit" } as const;
    const unit = {
      id: 2,
      name: "unit \u001b]0;x\u0007",
      conclusion: "failure",
      notices: [{ id: "fail-7k2qxz", place }],
    };
    shop.runs = [
      { ...red, jobs: [unit, { id: 3, name: "lint", conclusion: "failure" }] },
      { ...red, id: 8811 },
    ];
    const { stdout, stderr, exitCode } = await open(["--list"]);
    expect(exitCode, String(stderr)).toBe(0);
    expect(String(stdout)).toMatch(
      /8812 .*unit \]0;x .*failure {2}oci:ghcr.io\/acme\/failures:8812-1-unit\n8812 .*lint .*none\n8811 .*none\n$/,
    );
    expect(String(stdout)).not.toContain("\u001b");
    expect(String(stderr)).toContain("pull request #7");
    const listed = JSON.parse(String((await open(["--list", "--json", "--job", "lint"])).stdout));
    expect(listed[0]).toMatchObject({ id: 8812, jobs: [{ job: { name: "lint" }, captures: [] }] });
    expect(new Set(api.asked.map(({ token }) => token))).toEqual(new Set(["of-the-test"]));
  });

  const json = ["--json", "--", "true"];
  test.each<[string, () => unknown, string[], Record<string, string>, number, string]>([
    [
      "no checkout",
      () => rm(join(checkout, ".git"), { recursive: true }),
      json,
      {},
      2,
      "not in a git checkout",
    ],
    [
      "a detached HEAD",
      () => writeFile(join(checkout, ".git/HEAD"), "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b\n"),
      json,
      {},
      2,
      "HEAD is detached",
    ],
    ["no remote", () => writeFile(join(checkout, ".git/config"), ""), json, {}, 2, "has no remote"],
    [
      "no failed run",
      () => Object.assign(shop, { runs: [] }),
      json,
      {},
      2,
      "no failed run of pull request #7",
    ],
    ["nothing kept", () => {}, json, {}, 2, "nothing was kept of what failed: acme/shop, run 8812"],
    [
      "a run that is green",
      () => Object.assign(shop, { runs: [{ ...red, conclusion: "success" }] }),
      ["--run", "8812", ...json],
      {},
      2,
      "has not failed: success",
    ],
    [
      "an unknown run",
      () => {},
      ["--run", "99", ...json],
      {},
      2,
      "GitHub has no /repos/acme/shop/actions/runs/99 (404)",
    ],
    [
      "an unknown pull request",
      () => {},
      ["--pr", "8", ...json],
      {},
      2,
      "GitHub has no /repos/acme/shop/pulls/8 (404)",
    ],
    [
      "no such repository",
      () => {},
      ["--repo", "acme/none", ...json],
      {},
      2,
      "GitHub has no /repos/acme/none",
    ],
    ["not a name", () => {}, ["--repo", "acme", ...json], {}, 2, "acme is not OWNER/NAME"],
    [
      "no server",
      () => {},
      json,
      { GITHUB_API_URL: "http://127.0.0.1:1" },
      125,
      "can't reach http://127.0.0.1:1",
    ],
    [
      "a token without rights",
      () =>
        api.faults.set("*", {
          status: 403,
          message: "no",
          headers: { "x-accepted-github-permissions": "pull_requests=read" },
        }),
      ...[json, {}, 125, "lacks the permission pull-requests: read"],
    ] as const,
    [
      "a registry on the reader's own machine",
      () => {
        const place = { kind: "store", reference: "oci:127.0.0.1:1/failures:x" } as const;
        shop.runs = [
          {
            ...red,
            jobs: [{ id: 2, name: "unit", conclusion: "failure", notices: [{ id: "fail-7k2qxz", place }] }],
          },
        ];
      },
      ...[json, {}, 125, "the run names a registry on this machine"],
    ] as const,
  ])("%s: what and why, with a hint", async (_name, make, args, env, code, message) => {
    await make();
    const { stderr, exitCode } = await open(args, env);
    const { error } = JSON.parse(String(stderr)) as { error: { message: string; hint?: string } };
    expect([exitCode, error.message]).toEqual([code, expect.stringContaining(message)]);
    expect(error.hint).toMatch(/./);
  });

  test("a short command loads none of it", async () => {
    const loaded = join(folder, "loaded");
    const hook = `import { appendFileSync } from "node:fs"; import { registerHooks } from "node:module";
      registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(loaded)}, url + "\\n"); return next(url, context); } });`;
    await writeFile(join(folder, "hook.mjs"), hook);
    const env = { NODE_OPTIONS: `--import=${join(folder, "hook.mjs")}` };
    const isOurs = /octokit/i;
    const countLoaded = async (): Promise<{ all: number; ours: number }> => {
      const urls = (await readFile(loaded, "utf8")).split("\n").filter((url) => /\/dist\/.*\.mjs$/.test(url));
      const texts = await Promise.all([...new Set(urls)].map((url) => readFile(new URL(url), "utf8")));
      return { all: texts.length, ours: texts.filter((text) => isOurs.test(text)).length };
    };
    await thaw(["ls"], { env });
    const short = await countLoaded();
    expect(short.all).toBeGreaterThan(1);
    expect(short.ours).toBe(0);
    await open(["--list"], env);
    expect((await countLoaded()).ours).toBeGreaterThan(0);
  });
});

describe("with a capture", () => {
  let registry: Registry;
  let far: string;
  let capture: string;
  let evidence: string[];

  beforeAll(async () => {
    registry = await startRegistry(join(folder, "registry"));
    const ran = await thaw(
      ["run", "--capture", "on-failure", "--", "sh", "-c", "echo seen > /tmp/evidence; exit 3"],
      { env: job },
    );
    expect(ran.exitCode, String(ran.stderr)).toBe(3);
    capture = JSON.parse(String((await thaw(["capture", "show", "latest", "--json"])).stdout)).id;
    const login = { REGISTRY_AUTH_FILE: registry.authFile };
    const pushed = await thaw(["capture", "push", capture, `oci:${registry.host}/failures:8812-1-unit`], {
      env: login,
    });
    expect(pushed.exitCode, String(pushed.stderr)).toBe(0);
    far = await mkdtemp(join(tmpdir(), "thaw-far-"));
    await copyFile(join(testHome(), "host.json"), join(far, "host.json")).catch(() => {});
    await mkdir(join(folder, "config/thaw"), { recursive: true });
    await writeFile(
      join(folder, "config/thaw/stores.yaml"),
      `stores: [{store: "oci:${registry.host}/failures"}]\n`,
    );
    evidence = ["--", "cat", "/tmp/evidence"];
  });
  afterAll(async () => {
    await thaw(["daemon", "stop"], { env: { THAW_HOME: far } });
    await rm(far, { recursive: true, force: true });
    await registry?.stop();
  });

  test("in a registry: checked, fetched and replayed by a host that never saw it", async () => {
    const place = { kind: "store", reference: `oci:${registry.host}/failures:8812-1-unit` } as const;
    const unit = {
      id: 2,
      name: "unit",
      conclusion: "failure",
      notices: [{ id: capture, place, ending: "exit 3" }],
    };
    shop.runs = [
      { ...red, workflow: "lint", startedAt: "2026-11-26T11:00:00Z" },
      { ...red, id: 8811, jobs: [unit] },
    ];
    const opened = await open(evidence, { THAW_HOME: far, REGISTRY_AUTH_FILE: registry.authFile });
    expect([opened.exitCode, String(opened.stdout)], String(opened.stderr)).toEqual([0, "seen\n"]);
    expect(String(opened.stderr)).toMatch(
      /acme\/shop run 8811 · test \/ unit · exit 3, .*\n.*: memory, .* to fetch\n/,
    );
  });

  test("on a host: where it was announced, and where it was not", async () => {
    const place = { kind: "host", host: "ci-3" } as const;
    const jobs = [{ id: 2, name: "unit", conclusion: "failure", notices: [{ id: capture, place }] }];
    shop.runs = [{ ...red, jobs }];
    expect(await open(evidence)).toMatchObject({ exitCode: 0, stdout: "seen\n" });
    const elsewhere = await open(evidence, { THAW_HOME: far, THAW_CONFIG: join(folder, "none") });
    expect(elsewhere.exitCode, String(elsewhere.stderr)).toBe(0);
    shop.runs = [red];
    const unannounced = await open(["--level", "files", "/tmp"]);
    expect([unannounced.exitCode, String(unannounced.stdout)]).toEqual([
      0,
      expect.stringContaining("evidence"),
    ]);
    // The same id in another run's notice is not what was announced.
    shop.runs = [{ ...red, id: 8899, jobs }];
    const other = await open(evidence);
    expect([other.exitCode, String(other.stderr)]).toEqual([
      2,
      expect.stringMatching(/only on the host ci-3.*\nhint: thaw context add ci-3 /),
    ]);
  });
});
