/** Extended attributes of this host's files, which Node can't set. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const script = "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], b'value', follow_symlinks=False)";

export function setAttribute(path: string, name: string): void {
  execFileSync("python3", ["-c", script, path, name], { stdio: "pipe" });
}

/** @returns why files in `folder` can't have attributes of users; undefined when they can. */
export function findMissingAttributes(folder: string): string | undefined {
  const dir = mkdtempSync(join(folder, "thaw-probe-"));
  try {
    setAttribute(dir, "user.probe");
    return undefined;
  } catch (error) {
    return `no user attributes in ${folder}: ${(error as Error).message.trim().split("\n").at(-1)}`;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
