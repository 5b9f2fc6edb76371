/** A thaw that nobody uses: tells whether a capture's machine goes on. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Agent } from "../../runners/agent/agent.ts";
import type { DifferenceFiles } from "../../runners/runner.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { freshIdentity } from "../sandboxes/identity.ts";
import { randomId } from "../sandboxes/sandbox.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

const HELLO_DEADLINE_MS = 20_000;

/** @returns ms from the thaw to the agent's answer. Throws what kept it from going on. */
export async function thawOnTrial(
  { home, store: snapshots, runner }: LiveContext,
  store: CaptureStore,
  capture: StoredCapture,
  signal: AbortSignal,
): Promise<number> {
  const snapshot = await snapshots.checkForThaw(await snapshots.get(capture.manifest.base.snapshot));
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  const opened = join(stateDir, "difference");
  await mkdir(opened, { recursive: true, mode: 0o711 });
  let difference: DifferenceFiles | undefined;
  try {
    if (capture.manifest.memory === "difference")
      difference = await store.difference(capture, opened, runner, signal);
    const started = performance.now();
    const machine = await runner.thaw({ id, stateDir, snapshot, difference }, signal);
    try {
      const agent = await Agent.connect(await machine.connect(signal), {
        identity: freshIdentity("thaw-trial"),
        deadlineMs: HELLO_DEADLINE_MS,
        guestIsBetweenFrames: false,
        signal,
      });
      agent.close();
      return performance.now() - started;
    } finally {
      await machine.stop();
    }
  } finally {
    if (difference) runner.forget(difference.id);
    await rm(stateDir, { recursive: true, force: true });
  }
}
