/** A thaw that nobody uses as a sandbox: to see whether a capture's machine goes on, or to look into its memory. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Agent } from "../../runners/agent/agent.ts";
import type { DifferenceFiles, Machine } from "../../runners/runner.ts";
import { randomId } from "../ids.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { connectAgent, freshIdentity } from "../sandboxes/identity.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

const HELLO_DEADLINE_MS = 20_000;

/** Does something with the capture's machine, which is gone afterwards. @param paused it is not let go on */
export async function withMachine<T>(
  { home, store: snapshots, runner }: LiveContext,
  store: CaptureStore,
  { capture, paused, signal }: { capture: StoredCapture; paused: boolean; signal: AbortSignal },
  work: (machine: Machine) => Promise<T>,
): Promise<T> {
  const snapshot = await snapshots.checkForThaw(await snapshots.get(capture.manifest.base.snapshot));
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  const opened = join(stateDir, "difference");
  await mkdir(opened, { recursive: true, mode: 0o711 });
  let difference: DifferenceFiles | undefined;
  try {
    if (capture.manifest.memory === "difference")
      difference = await store.difference(capture, { into: opened, runner, signal });
    const machine = await runner.thaw({ id, stateDir, snapshot, difference, paused }, signal);
    try {
      return await work(machine);
    } finally {
      await machine.stop();
    }
  } finally {
    if (difference) runner.forget(difference.id);
    await rm(stateDir, { recursive: true, force: true });
  }
}

export async function greet(machine: Machine, signal: AbortSignal): Promise<Agent> {
  return connectAgent(machine, {
    identity: freshIdentity("thaw-trial"),
    deadlineMs: HELLO_DEADLINE_MS,
    guestIsBetweenFrames: false,
    signal,
  });
}
