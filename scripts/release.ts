/**
 * Makes a release: `npm run release -- --dry-run [--out DIR]` builds and tests all of it, here or in CI, and uploads nothing;
 * `--upload DIR` uploads what such a run has made, in the workflow only (.github/workflows/release.yml).
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { makeRelease } from "./release-build.ts";
import { describeAll, type Release } from "./release-steps.ts";
import { planUpload, verifySums } from "./release-upload.ts";

const root = join(import.meta.dirname, "..");
const USAGE = `usage: npm run release -- --dry-run [--out DIR] [--no-machines]
       npm run release -- --upload DIR
--dry-run      build, test what was built, pack, and say what would be uploaded
--out DIR      where it goes (default: release/)
--no-machines  leave out the tests that boot a machine
--upload DIR   upload what --dry-run made; in the release workflow only
`;

function fail(message: string, code = 1): never {
  process.stderr.write(`release: ${message}\n`);
  process.exit(code);
}

/** What the checkout is. @throws Error when it can't be released */
function readRelease(out: string, forReal: boolean): Release {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const changelog = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  const section = (title: string): string | undefined =>
    new RegExp(`^## \\[${title.replaceAll(".", "\\.")}\\][^\n]*\n(.*?)(?=^## |$(?![\\s\\S]))`, "ms")
      .exec(changelog)?.[1]
      ?.trim();
  const notes = section(version) ?? (forReal ? undefined : section("Unreleased"));
  if (notes === undefined) throw new Error(`CHANGELOG.md has no section [${version}]`);
  return { root, out, version, notes };
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    options: { "dry-run": flag, "no-machines": flag, out: text, upload: text, help: flag },
  });
  if (values.help === true) return void process.stdout.write(USAGE);
  if ((values["dry-run"] === true) === (values.upload !== undefined))
    return fail(`either --dry-run or --upload\n${USAGE}`, 2);
  if (values.upload !== undefined) return upload(resolve(values.upload));
  const release = readRelease(resolve(root, values.out ?? "release"), false);
  const changed = execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" });
  if (changed !== "")
    process.stderr.write("release: the checkout has changes, which are part of what is built\n");
  rmSync(release.out, { recursive: true, force: true });
  mkdirSync(release.out, { recursive: true });
  writeFileSync(join(release.out, "NOTES.md"), `${release.notes}\n`);
  await makeRelease(release, { machines: values["no-machines"] !== true });
  process.stdout.write(`\nthaw ${release.version} is in ${release.out}. Not uploaded:\n`);
  process.stdout.write(describeAll(planUpload(release)));
}

function upload(out: string): void {
  if (process.env.GITHUB_ACTIONS !== "true") fail("only the release workflow uploads");
  if (process.env.GITHUB_REF !== "refs/heads/main") fail(`${process.env.GITHUB_REF} is not refs/heads/main`);
  const release = readRelease(out, true);
  verifySums(out);
  for (const { what, run } of planUpload(release)) {
    process.stdout.write(`release: ${what}\n`);
    run();
  }
}

await main().catch((error: unknown) => fail((error as Error).message));
