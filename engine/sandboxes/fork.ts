/**
 * What a sandbox's children are thawed from: its difference, taken in tens of milliseconds, where this host was seen to be able to; else a
 * full freeze.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DifferenceFiles, SnapshotFiles } from "../../runners/runner.ts";
import { randomId } from "../ids.ts";
import { phase } from "../progress.ts";
import { differenceVerdict, freezeSandbox, type LiveContext, type LiveOptions } from "./freeze.ts";
import type { Subject } from "./subject.ts";

export interface ForkOrigin {
  /** Snapshot the children depend on. */
  snapshot: string;
  files: SnapshotFiles;
  difference?: DifferenceFiles;
  method: "difference" | "freeze";
  /** For how long the sandbox stood still. */
  pauseMs: number;
  /** Once the children run: they have all they need. */
  release(): Promise<void>;
}

export async function forkOrigin(
  context: LiveContext,
  sandbox: Subject,
  options: LiveOptions,
): Promise<ForkOrigin> {
  const { home, store, runner } = context;
  const { onProgress, signal } = options;
  const { name, snapshot } = sandbox.record;
  sandbox.allowLive("fork");
  const verdict = await differenceVerdict(context, sandbox, options);
  const files = await store.checkForThaw(await store.get(snapshot));
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  const clear = () => rm(stateDir, { recursive: true, force: true });
  try {
    if (verdict.state !== "works") {
      const frozen = await freezeSandbox(context, sandbox, options);
      onProgress({
        type: "progress",
        subject: name,
        phase: "difference",
        state: "done",
        elapsedMs: 0,
        detail: `not possible on this host, so a full snapshot was made: ${verdict.reason}`,
      });
      await clear();
      const { pauseMs } = frozen;
      return {
        ...{ snapshot: frozen.snapshot.id, method: "freeze" as const, pauseMs },
        files: await store.checkForThaw(frozen.snapshot),
        release: async () => {},
      };
    }
    const dir = join(stateDir, "difference");
    await mkdir(dir, { mode: 0o711 });
    const difference = await phase(
      onProgress,
      { subject: name, phase: "difference", detail: ({ pauseMs }) => `paused for ${pauseMs.toFixed(0)} ms` },
      () => context.admission.withHelper(() => sandbox.takeDifference(dir, { signal })),
    );
    return {
      ...{ snapshot, files, difference, method: "difference" as const, pauseMs: difference.pauseMs },
      release: async () => {
        runner.forget(difference.id);
        await clear();
      },
    };
  } catch (error) {
    await clear();
    throw error;
  }
}
