/** What a stopped sandbox goes on from, in its folder: how its machine had come to differ from its snapshot. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { DifferenceFiles } from "../../runners/runner.ts";
import type { Frozen } from "./record.ts";

const FROZEN_DIR = "frozen";

export function frozenDir(sandboxDir: string): string {
  return join(sandboxDir, FROZEN_DIR);
}

/** As a runner takes it; undefined when the sandbox has a snapshot of its own. */
export function frozenDifference(sandboxDir: string, { difference }: Frozen): DifferenceFiles | undefined {
  return difference === null ? undefined : { dir: frozenDir(sandboxDir), ...difference };
}

/** The machine runs again, or it was not frozen to the end. */
export async function clearFrozen(sandboxDir: string): Promise<void> {
  const dir = frozenDir(sandboxDir);
  for (const path of [dir, `${dir}.new`]) await rm(path, { recursive: true, force: true });
}
