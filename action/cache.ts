/** The cached folders of a step: what it begins with is told, and what it made of them is kept. */
import type { Sandbox, SandboxReference } from "../client/index.ts";
import { formatBytes, formatMs } from "./format.ts";
import type { GuestLog } from "./log.ts";
import type { StepPlan } from "./plan.ts";

/** Nobody waits longer for folders to be kept. */
const SAVE_MS = 300_000;

/** Whether the step may keep its folders. */
export function writesCache({ settings }: Pick<StepPlan, "settings">): boolean {
  return typeof settings.cache?.write === "string";
}

/** Says what the folders have at the start, and whether they will be kept. */
export async function tellRestored({ cache }: Sandbox["info"], log: GuestLog): Promise<void> {
  if (cache === null) return;
  const { key, restored, write } = cache;
  const instead = restored === null || restored.key === key ? "" : `, because there is no cache for ${key}`;
  const found =
    restored === null ? `no cache for ${key} yet` : `${restored.key} (${restored.scope})${instead}`;
  await log.say(`cache: ${found}${write === null ? "; this run saves no cache" : ""}`);
}

/** Keeps the folders of a step that succeeded. How the step ended is the command's to say, so this one does not reject but when cancelled. */
export async function saveCache(
  sandbox: SandboxReference,
  log: GuestLog,
  signal: AbortSignal,
): Promise<void> {
  const started = performance.now();
  try {
    const late = AbortSignal.timeout(SAVE_MS);
    const { cache, reason } = await sandbox.saveCache({ signal: AbortSignal.any([signal, late]) });
    const ms = formatMs(performance.now() - started);
    if (cache !== null) await log.say(`cache: saved ${cache.key} (${formatBytes(cache.storedBytes)}, ${ms})`);
    else await log.say(`cache: not saved: ${reason}`);
  } catch (error) {
    signal.throwIfAborted();
    await log.say(`cache: not saved: ${(error as Error).message}`);
  }
}
