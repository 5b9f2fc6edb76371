import { paced } from "../host/pace.ts";
import { ThawError } from "./errors.ts";
import { pause } from "./pause.ts";

const DEADLINE_MS = 10_000;

/**
 * Tries `connect` until it works, for 10 s after the first failure to reach anybody. Only an unreachable daemon is tried again: what a
 * daemon answers is final.
 */
export async function reconnect(connect: () => Promise<void>, signal?: AbortSignal): Promise<void> {
  const end = performance.now() + paced(DEADLINE_MS);
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    try {
      await connect();
      return;
    } catch (error) {
      const again = error instanceof ThawError && error.code === "daemon-unreachable";
      if (!again || performance.now() + pauseMs >= end) throw error;
    }
    await pause(pauseMs, signal);
  }
}

/** A connection that lasted this long was a sound one. */
const SOUND_MS = 2000;
const TROUBLE_MS = 30_000;

/** Notices a daemon that takes connections and breaks them again and again. */
export class Trouble {
  #since: number | undefined;
  #last = 0;
  /** Connections that broke. */
  count = 0;

  /** A connection broke. Waits a moment if one has just broken. @throws ThawError `daemon-unreachable` after 30 s of that. */
  async note(signal?: AbortSignal): Promise<void> {
    const now = performance.now();
    const again = this.count > 0 && now - this.#last < SOUND_MS;
    if (!again) this.#since = now;
    this.count += 1;
    this.#last = now;
    if (!again) return;
    if (now - (this.#since ?? now) > TROUBLE_MS)
      throw new ThawError("daemon-unreachable", `the daemon went away ${this.count} times`, {
        hint: "thaw daemon logs",
      });
    await pause(100, signal);
  }
}
