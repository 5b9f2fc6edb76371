/** Builds what a release consists of, and tests what was built: the tag's tree, in a read-only folder with nothing of the checkout beside it. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { Job, type StepResult } from "../test/action-runner/job.ts";
import { makeReleaseCommit } from "./release-commit.ts";
import { archiveName, packageName, type Release } from "./release-steps.ts";
import { writeReleaseTree } from "./release-tree.ts";
import { NO_TEXT } from "./rust-licenses.ts";

const PROGRAMS = [
  "thaw-agent",
  "thaw-jail",
  "thaw-keeper",
  "thaw-pages",
  "thaw-pressure",
  "thaw-seal",
  "thaw-xattrs",
];

function say(text: string): void {
  process.stdout.write(`release: ${text}\n`);
}

/** @throws Error when a part fails */
export async function makeRelease(release: Release, { machines }: { machines: boolean }): Promise<void> {
  const { root, out } = release;
  const node = (...args: string[]): void => {
    execFileSync(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  };
  say("build");
  node("scripts/build.mjs");
  node("scripts/build-types.ts");
  const tree = mkdtempSync(join(tmpdir(), "thaw-release-"));
  try {
    say("what the tag holds");
    writeReleaseTree(root, tree);
    checkTree(release, tree);
    await checkAction(release, tree, machines);
    archive(tree, join(out, archiveName(release)));
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
  say("the npm package");
  packWithCommit(release);
  checkPackage(release);
  const sums = [archiveName(release), packageName(release)].map(
    (name) => `${sha256(join(out, name))}  ${name}\n`,
  );
  writeFileSync(join(out, "SHA256SUMS"), sums.join(""));
  process.stdout.write(sums.join(""));
}

/**
 * Packs dist/ with the commit that the tag will name: `thaw ci init` writes it into workflows. The tag's own files can't hold it, and the
 * checkout's are as before.
 */
function packWithCommit(release: Release): void {
  const { root, out } = release;
  const path = join(root, "dist/version.json");
  const before = readFileSync(path, "utf8");
  const named = { ...JSON.parse(before), commit: makeReleaseCommit(release), isRelease: true };
  try {
    writeFileSync(path, `${JSON.stringify(named)}\n`);
    execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", out], {
      ...{ cwd: root, stdio: ["ignore", "ignore", "inherit"] },
    });
  } finally {
    writeFileSync(path, before);
  }
}

export function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** What `uses:` needs is there, with its licences, and every version is the same. */
function checkTree({ version }: Release, tree: string): void {
  const { runs } = parse(readFileSync(join(tree, "action.yml"), "utf8"));
  const files = [
    ...[
      runs.main,
      runs.post,
      "dist/thaw",
      "dist/thaw.mjs",
      "dist/daemon.mjs",
      "dist/templates/base/template.yaml",
      "LICENSE",
    ],
    ...PROGRAMS.map((name) => `dist/agent/${name}`),
  ];
  const missing = files.filter((file) => !existsSync(join(tree, file)));
  if (missing.length > 0) throw new Error(`the tag would lack ${missing.join(", ")}`);
  const built = JSON.parse(readFileSync(join(tree, "dist/version.json"), "utf8"));
  if (built.version !== version) throw new Error(`dist/ is of ${built.version}, not ${version}`);
  const licences = readFileSync(join(tree, "dist/THIRD-PARTY-LICENSES.txt"), "utf8");
  if (licences.includes(NO_TEXT))
    throw new Error("dist/THIRD-PARTY-LICENSES.txt lacks a crate's text: cargo fetch");
  for (const name of ["@actions/core", "fastify", "zod", "base64", "libc"])
    if (!licences.includes(`${name} `)) throw new Error(`dist/THIRD-PARTY-LICENSES.txt lacks ${name}`);
}

/** The action from the tag's tree, as a runner runs it. */
async function checkAction({ version }: Release, tree: string, machines: boolean): Promise<void> {
  const command = [join(tree, "dist/thaw.mjs"), "--version"];
  const told = execFileSync(process.execPath, command, { cwd: "/", encoding: "utf8" }).trim();
  if (told !== version) throw new Error(`thaw --version says ${told}, not ${version}`);
  await using job = new Job({ action: tree });
  say("the action refuses what is wrong");
  const refused = await job.step({ with: { run: "true", timeout: "10" } });
  expectStep(
    refused,
    refused.conclusion === "failure" &&
      refused.honoured.some(({ name, data }) => name === "error" && data.includes("timeout")),
  );
  if (machines) {
    say("the action runs a step, which fails and is kept");
    const kept = await job.step({ with: { run: "./hello.sh; exit 3", capture: "on-failure" } });
    expectStep(
      kept,
      kept.outputs["exit-code"] === "3" &&
        kept.log.includes("hello from the checkout") &&
        kept.outputs.capture !== undefined,
    );
  }
  const { changed } = await job.end();
  if (changed.length > 0) throw new Error(`the action wrote into its own folder: ${changed.join(", ")}`);
}

function expectStep(step: StepResult, ok: boolean): void {
  if (ok) return;
  const lines = [...step.log.slice(-40), ...step.honoured.map(({ line }) => line)];
  throw new Error(`the built action does not do its work:\n${lines.join("\n")}`);
}

/** The same tree gives the same bytes. */
function archive(tree: string, path: string): void {
  const same = [
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mode=go=rX,u+rw,a-s",
  ];
  execFileSync("tar", [...same, "--use-compress-program=gzip -9n", "-cf", path, "-C", tree, "."]);
}

/** The package, installed where there is no registry. */
function checkPackage(release: Release): void {
  const project = mkdtempSync(join(tmpdir(), "thaw-release-npm-"));
  try {
    writeFileSync(join(project, "package.json"), '{ "name": "consumer", "private": true }\n');
    const args = [
      "install",
      "--offline",
      "--no-audit",
      "--no-fund",
      "--silent",
      join(release.out, packageName(release)),
    ];
    execFileSync("npm", args, { cwd: project, stdio: ["ignore", "ignore", "inherit"] });
    const told = execFileSync("npx", ["--no-install", "thaw", "--version"], {
      cwd: project,
      encoding: "utf8",
    }).trim();
    if (told !== release.version) throw new Error(`the package's thaw --version says ${told}`);
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
}
