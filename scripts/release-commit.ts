/** The commit that a release's tag names. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { archiveName, type Release } from "./release-steps.ts";

/**
 * Commits what was tested, not what lies around, on top of the commit that it was built from. The same archive on the same commit gives the same
 * commit, so that the npm package can name it before it is pushed. @returns its digest
 */
export function makeReleaseCommit(release: Release): string {
  const work = mkdtempSync(join(tmpdir(), "thaw-tag-"));
  try {
    const tree = join(work, "tree");
    mkdirSync(tree);
    execFileSync("tar", ["-xzf", join(release.out, archiveName(release)), "-C", tree]);
    const of = (...args: string[]): string =>
      execFileSync("git", args, { cwd: release.root, encoding: "utf8" }).trim();
    const env = {
      ...process.env,
      GIT_DIR: of("rev-parse", "--absolute-git-dir"),
      GIT_WORK_TREE: tree,
      GIT_INDEX_FILE: join(work, "index"),
      ...signedBy(of("show", "-s", "--format=%cI", "HEAD")),
    };
    const git = (...args: string[]): string =>
      execFileSync("git", ["-c", "core.autocrlf=false", "-c", "commit.gpgSign=false", ...args], {
        ...{ cwd: tree, encoding: "utf8", env },
      }).trim();
    git("add", "--all", "--force", ".");
    return git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", `thaw ${release.version}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Who made it, and when: nothing that differs between machines. */
function signedBy(date: string): Record<string, string> {
  const [name, email] = ["thaw", "thaw-ci@users.noreply.github.com"];
  return {
    ...{ GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_AUTHOR_DATE: date },
    ...{ GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email, GIT_COMMITTER_DATE: date },
  };
}
