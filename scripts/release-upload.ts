/** The uploads of a release in their order: each needs those before it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { sha256 } from "./release-build.ts";
import { makeReleaseCommit } from "./release-commit.ts";
import { archiveName, packageName, type Release, type Upload } from "./release-steps.ts";

/** @throws Error when a file is not what was tested */
export function verifySums(out: string): void {
  for (const line of readFileSync(join(out, "SHA256SUMS"), "utf8").trim().split("\n")) {
    const [sum, name = ""] = line.split("  ");
    if (sha256(join(out, name)) !== sum)
      throw new Error(`${name} is not what was built: its checksum differs`);
  }
}

export function planUpload(release: Release): Upload[] {
  const { out, version, root } = release;
  const tag = `v${version}`;
  const files = [archiveName(release), packageName(release), "SHA256SUMS"].map((name) => join(out, name));
  return [
    {
      what: `tag ${tag}: this commit's files and dist/`,
      commands: [
        `git commit-tree TREE -p HEAD -m "thaw ${version}"`,
        `git push origin COMMIT:refs/tags/${tag}`,
      ],
      run: () => pushTag(release, tag),
    },
    command(root, "a draft of the release", [
      "gh",
      ...["release", "create", tag, "--draft", "--verify-tag", "--title", `thaw ${version}`],
      ...["--notes-file", join(out, "NOTES.md"), ...files],
    ]),
    command(root, "the npm package, with its provenance", [
      "npm",
      ...["publish", join(out, packageName(release)), "--provenance", "--access", "public"],
    ]),
    ...snapshots(release),
  ];
}

function command(cwd: string, what: string, argv: string[]): Upload {
  const [program = "", ...args] = argv;
  return {
    what,
    commands: [argv.join(" ")],
    run: () => void execFileSync(program, args, { cwd, stdio: "inherit" }),
  };
}

/** One snapshot of each template that is shipped: built here, and pushed to the registry of the repository's owner. */
function snapshots({ root, version }: Release): Upload[] {
  const owner = (process.env.GITHUB_REPOSITORY ?? "thaw-ci/thaw").toLowerCase();
  return readdirSync(join(root, "templates")).map((template) => {
    const thaw = (...args: string[]): string[] => [join(root, "dist/thaw.mjs"), ...args];
    const built = thaw("template", "build", template);
    const recipe = parse(readFileSync(join(root, "templates", template, "template.yaml"), "utf8"));
    const tag: string = recipe.tag ?? template;
    const store = `oci:ghcr.io/${owner}/snapshots:${template}-${version}`;
    return {
      what: `the snapshot of the template ${template}`,
      commands: [`thaw template build ${template}`, `thaw snapshot push ${tag} ${store}`],
      run: () => {
        execFileSync(process.execPath, built, { stdio: "inherit" });
        execFileSync(process.execPath, thaw("snapshot", "push", tag, store), { stdio: "inherit" });
      },
    };
  });
}

/** Pushes the commit of what was tested. */
export function pushTag(release: Release, tag: string): void {
  execFileSync("git", ["push", "origin", `${makeReleaseCommit(release)}:refs/tags/${tag}`], {
    cwd: release.root,
    stdio: "inherit",
  });
}
