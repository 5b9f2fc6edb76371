import { setTimeout as pause } from "node:timers/promises";
import { ThawError } from "./errors.ts";

const deadlineMs = 10_000;

/**
 * Tries `connect` until it works, for 10 s after the first failure to reach anybody. Only an unreachable daemon is tried again: what a
 * daemon answers is final.
 */
export async function reconnect(connect: () => Promise<void>, signal?: AbortSignal): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    try {
      await connect();
      return;
    } catch (error) {
      const again = error instanceof ThawError && error.code === "daemon-unreachable";
      if (!again || performance.now() + pauseMs >= end) throw error;
    }
    await pause(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}
