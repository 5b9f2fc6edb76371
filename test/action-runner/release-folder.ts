/** The action as a runner downloads it: what a release's tag would hold of this checkout. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeReleaseTree } from "../../scripts/release-tree.ts";

const ROOT = join(import.meta.dirname, "..", "..");

export interface ReleaseFolder extends Disposable {
  path: string;
}

/** @throws Error when dist/ is not built */
export function makeReleaseFolder(): ReleaseFolder {
  if (!existsSync(join(ROOT, "dist", "action", "main.mjs")))
    throw new Error("dist/action is not built: npm run build");
  const path = mkdtempSync(join(tmpdir(), "thaw-release-"));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  try {
    writeReleaseTree(ROOT, path);
  } catch (error) {
    remove();
    throw error;
  }
  return { path, [Symbol.dispose]: remove };
}
