/** Tools that write what a file of somebody else's says: asked for before, and stopped when the disk has no more room meanwhile. */
import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { DiskWriting } from "../../runner.ts";

/** How often the disk is looked at. A tool writes less than `STEP_BYTES` in that time. */
const LOOK_MS = 50;
const STEP_BYTES = 64 * 2 ** 20;

/**
 * Runs `work`, which writes about `bytes` to the file `target`. Throws what `room` throws: before the work when there is no room for it, or
 * during it, having aborted the signal that the work was given.
 */
export async function withinRoom<T>(
  { target, bytes, room, signal }: DiskWriting & { target: string; bytes: number },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  await room(bytes);
  const full = new AbortController();
  const ended = new AbortController();
  const before = await storedBytes(target);
  const watch = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await delay(LOOK_MS, undefined, { signal: ended.signal });
      const left = Math.max(0, bytes - (await storedBytes(target)) + before);
      await room(Math.min(STEP_BYTES, left));
    }
  };
  const watched = watch().catch((error: unknown) => {
    if (!ended.signal.aborted) full.abort(error);
  });
  try {
    return await work(signal ? AbortSignal.any([signal, full.signal]) : full.signal);
  } finally {
    ended.abort();
    await watched;
  }
}

async function storedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}
