// The commit that a build is of. Outside a clone, or without git, nobody knows.
import { execFileSync } from "node:child_process";

/** `isRelease`: the version's tag is at that commit. */
export function builtFrom(root: string, version: string): { commit?: string; isRelease?: boolean } {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const commit = git("rev-parse", "HEAD");
    const tags = git("tag", "--points-at", "HEAD").split("\n");
    return { commit, isRelease: tags.includes(`v${version}`) };
  } catch {
    return {};
  }
}
