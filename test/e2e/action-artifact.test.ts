/** `capture-store: artifact`: by a runner's rules, a local server of its artifacts and of GitHub's API, and real sandboxes. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { parseCaptureNotice } from "../../github/capture-notice.ts";
import { Job } from "../action-runner/job.ts";
import { makeReleaseFolder } from "../action-runner/release-folder.ts";
import { modulesOf } from "../bench/modules.ts";
import { ArtifactService } from "../github/artifact-service.ts";
import { GitHubApi } from "../github/server.ts";
import { type WorldRun, worldHandlers } from "../github/world.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawBin, thawEnv } from "../helpers/thaw.ts";

const DAY_MS = 86_400_000;

test("the Action loads no more than 1 MiB at once, and nothing of artifacts", () => {
  const loaded = [...modulesOf(resolve("dist/action/main.mjs"))].map((path) => readFileSync(path, "utf8"));
  expect(Buffer.byteLength(loaded.join(""))).toBeLessThanOrEqual(2 ** 20);
  expect(loaded.filter((text) => text.includes("BlockBlobClient"))).toEqual([]);
});

test("a capture is uploaded as an artifact that overwrites nothing, and thaw open fetches and replays it elsewhere", async () => {
  using release = makeReleaseFolder();
  const far = await mkdtemp(join(tmpdir(), "thaw-far-"));
  await copyFile(join(testHome(), "host.json"), join(far, "host.json")).catch(() => {});
  await using job = new Job({ action: release.path, matrix: { os: "linux" }, env: thawEnv() });
  await using service = await ArtifactService.start(job.secrets.runtimeToken);
  const env = { ACTIONS_RESULTS_URL: service.url };
  const inputs = { "capture-store": "artifact", workspace: "none", retention: "36h" };

  const step = await job.step({ env, with: { ...inputs, run: "echo seen >/tmp/evidence; exit 5" } });
  expect(step.exitCode, step.log.join("\n")).toBe(5);
  const [stored] = service.stored;
  const { title = null } = step.honoured.find(({ name }) => name === "notice")?.properties ?? {};
  const message = step.honoured.find(({ name }) => name === "notice")?.data ?? null;
  const notice = parseCaptureNotice({ title, message });
  expect(stored?.name).toBe(`acme-shop-5204-1-test-linux-acme_thaw-${notice?.id}`);
  expect(notice?.place).toEqual({ kind: "artifact", name: stored?.name });
  const page = "https://github.com/acme/shop/actions/runs/5204/attempts/1";
  expect(step.outputs).toMatchObject({
    capture: `artifact:${stored?.name}`,
    "replay-command": `thaw open --run ${page} --id ${notice?.id}`,
  });
  const keptMs = Date.parse(stored?.expiresAt ?? "") - Date.now();
  expect([keptMs > 1.9 * DAY_MS, keptMs < 2.1 * DAY_MS]).toEqual([true, true]);
  expect(service.violations).toEqual([]);

  service.takesBlocks = false;
  const late = await job.step({ env, with: { ...inputs, run: "exit 6", "capture-timeout": "3s" } });
  expect(late.exitCode).toBe(6);
  expect(late.outputs.capture).toMatch(/^fail-/);
  expect(late.log.join("\n")).toMatch(
    /stays on .* as fail-.*: the copy was not finished within 3 s \(capture-timeout\)/,
  );
  expect(late.summary).toContain(`\`thaw replay ${late.outputs.capture}\` on \`${hostname()}\``);
  expect(service.stored).toHaveLength(1);
  await job.end();

  if (stored === undefined || notice === undefined) throw new Error("nothing was stored");
  const artifact = {
    ...{ id: stored.id, name: stored.name, bytes: stored.content.length, url: service.downloadUrl(stored) },
    digest: `sha256:${createHash("sha256").update(stored.content).digest("hex")}`,
    expired: false,
  };
  const failed = { id: 2, name: "test (linux)", conclusion: "failure", notices: [notice] };
  const run: WorldRun = {
    id: 5204,
    branch: "main",
    conclusion: "failure",
    jobs: [failed],
    artifacts: [artifact],
  };
  await using api = await GitHubApi.start(worldHandlers([{ name: "acme/shop", runs: [run] }]));
  const open = () =>
    execa(
      process.execPath,
      [
        resolve(thawBin),
        "open",
        "--repo",
        "acme/shop",
        "--run",
        "5204",
        "--id",
        notice.id,
        "--",
        "cat",
        "/tmp/evidence",
      ],
      {
        ...{ cwd: far, reject: false, timeout: 300_000 },
        env: {
          ...thawEnv(),
          ...{ GITHUB_API_URL: api.url, GH_TOKEN: "of-the-test", GITHUB_ACTIONS: "", THAW_HOME: far },
          XDG_CONFIG_HOME: join(far, "config"),
        },
      },
    );
  try {
    artifact.expired = true;
    expect((await open()).stderr).toMatch(
      /the artifact acme-shop-.* of run 5204 has expired at 2020-03-21.*\nhint: run the job again/,
    );
    artifact.expired = false;
    api.faults.set("actions/download-artifact", { status: 410, message: "Artifact has expired", times: 1 });
    expect((await open()).stderr).toContain("has expired");
    const { digest } = artifact;
    artifact.digest = `sha256:${"0".repeat(64)}`;
    expect((await open()).stderr).toContain("its content does not match GitHub's digest");
    artifact.digest = digest;
    const opened = await open();
    expect([opened.exitCode, opened.stdout], opened.stderr).toEqual([0, "seen"]);
    expect(opened.stderr).toMatch(/acme-shop-.*: memory, .* to fetch/);
    expect(service.violations).toEqual([]);
    expect(api.violations).toEqual([]);
  } finally {
    await thaw(["daemon", "stop"], { env: { THAW_HOME: far } });
    await rm(far, { recursive: true, force: true });
  }
});
