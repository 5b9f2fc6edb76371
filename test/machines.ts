/** One state folder for the whole run, so that templates are built once. Machines and the daemon are gone when the run is over. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    thawHome: string;
  }
}

let users = 0;

export default function setup(project: TestProject): () => void {
  if (!existsSync("dist/thaw.mjs")) throw new Error("dist/ is not built: npm run bootstrap");
  // Given by hand, a home is kept, with what was built in it.
  const given = process.env.THAW_TEST_HOME;
  const home = given ?? mkdtempSync("/tmp/thaw-test-");
  process.env.THAW_TEST_HOME = home;
  users += 1;
  project.provide("thawHome", home);
  return () => {
    users -= 1;
    if (users > 0) return;
    const thaw = (...args: string[]) =>
      spawnSync(process.execPath, ["dist/thaw.mjs", ...args], { env: { ...process.env, THAW_HOME: home } });
    thaw("rm", "--all");
    thaw("daemon", "stop");
    if (process.env.THAW_KEEP_HOME === undefined) rmSync(join(home), { recursive: true, force: true });
  };
}
