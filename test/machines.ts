/**
 * State folders for the whole run, one for each worker. What a template is made of is built once, into the first. Machines and daemons are
 * gone when the run is over.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { runnerConfig } from "./helpers/runner.ts";
import "./helpers/test-home.ts";

/** Of a state folder, what a template's build needs not make again. */
const BUILT = ["kernels", "rootfs", "packages", "snapshots", "tags", "host.json"];
let users = 0;

export default function setup(project: TestProject): () => void {
  if (!existsSync("dist/thaw.mjs")) throw new Error("dist/ is not built: npm run bootstrap");
  // Given by hand, it can be kept with what was built in it.
  process.env.THAW_TEST_HOME ??= mkdtempSync("/tmp/thaw-test-");
  const first = process.env.THAW_TEST_HOME;
  const homes = Array.from({ length: project.config.maxWorkers }, (_, n) =>
    n === 0 ? first : `${first}-${n + 1}`,
  );
  const thaw = (home: string, ...args: string[]) =>
    spawnSync(process.execPath, ["dist/thaw.mjs", ...args], {
      env: { ...process.env, THAW_HOME: home },
      stdio: ["ignore", "ignore", "inherit"],
    });
  for (const home of runnerConfig === "" ? [] : homes) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "config.yaml"), runnerConfig);
  }
  if (users === 0 && homes.length > 1) {
    thaw(first, "template", "build", "base");
    for (const home of homes.slice(1)) {
      mkdirSync(home, { recursive: true });
      for (const name of BUILT)
        if (existsSync(join(first, name)) && !existsSync(join(home, name)))
          execFileSync("cp", ["-a", join(first, name), home]);
    }
  }
  users += 1;
  project.provide("thawHomes", homes);
  return () => {
    users -= 1;
    if (users > 0) return;
    for (const home of homes) {
      thaw(home, "rm", "--all");
      thaw(home, "daemon", "stop");
      if (process.env.THAW_KEEP_HOME === undefined) rmSync(home, { recursive: true, force: true });
    }
  };
}
