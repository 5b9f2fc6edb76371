/** What a release's tag holds: every file that git would track, and dist/, which a checkout does not track. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LARGE = 1 << 30;

/**
 * Writes into `folder` what `git archive` of a tag of this checkout would give. The checkout's own git folder is neither read nor written.
 * @throws Error when git or tar fails
 */
export function writeReleaseTree(root: string, folder: string): void {
  const gitDir = mkdtempSync(join(tmpdir(), "thaw-release-git-"));
  const git = (...args: string[]): Buffer =>
    execFileSync(
      "git",
      ["-c", "core.compression=0", "-c", "core.autocrlf=false", "-c", "tar.umask=0022", ...args],
      {
        cwd: root,
        env: { ...process.env, GIT_DIR: gitDir, GIT_WORK_TREE: root, GIT_CONFIG_GLOBAL: "/dev/null" },
        maxBuffer: LARGE,
      },
    );
  try {
    git("init", "--quiet");
    git("add", "--all");
    git("add", "--force", "dist");
    const tree = git("write-tree").toString().trim();
    mkdirSync(folder, { recursive: true });
    execFileSync("tar", ["-x", "-C", folder], { input: git("archive", "--format=tar", tree) });
  } finally {
    rmSync(gitDir, { recursive: true, force: true });
  }
}
