/** The snapshot that tests thaw: what the runner made of a template. */
import { expect } from "vitest";
import { openHome } from "../../engine/home.ts";
import { SnapshotStore } from "../../engine/snapshots/store.ts";
import type { SnapshotFiles } from "../../runners/runner.ts";
import { runnerName, tagOf } from "../helpers/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw } from "../helpers/thaw.ts";
import { patient, template, templateSnapshot } from "./under-test.ts";

export async function templateFiles(): Promise<SnapshotFiles> {
  const build = ["template", "build", template, "--runner", runnerName];
  const { exitCode, stderr } = await thaw(build, { timeout: patient(300_000) });
  expect(exitCode, String(stderr)).toBe(0);
  const store = new SnapshotStore(openHome(testHome()));
  return store.checkForThaw(await store.get(tagOf(templateSnapshot)));
}
