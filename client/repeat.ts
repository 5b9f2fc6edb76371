import { paced } from "../host/pace.ts";
import { pause } from "./pause.ts";

/** How long a request is repeated while its daemon is killed, replaced or started. */
const REPEAT_MS = 30_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;

/** How an attempt is made. */
export interface AttemptOptions {
  signal?: AbortSignal | undefined;
  /** Whether an attempt whose connection broke may be made again. Default true. */
  repeatable?: boolean | undefined;
}

/** What to do before the next attempt. */
export type Remedy = () => Promise<void>;

export interface RepeatOptions {
  /** @returns undefined when the error is final */
  findRemedy: (error: unknown) => Remedy | undefined | Promise<Remedy | undefined>;
  /** @returns what is thrown for an error that is final */
  describe: (error: unknown) => unknown;
  signal?: AbortSignal | undefined;
}

/**
 * Tries `attempt` until it succeeds or fails for good, for 30 s.
 * @throws unknown what `describe` makes of the last error; the signal's reason when aborted.
 */
export async function repeat<T>(
  attempt: () => Promise<T>,
  { findRemedy, describe, signal }: RepeatOptions,
): Promise<T> {
  let end: number | undefined;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const started = performance.now();
    let error: unknown;
    try {
      return await attempt();
    } catch (thrown) {
      error = thrown;
    }
    // an attempt that lasted was not part of the same fault
    const forMs = paced(REPEAT_MS);
    if (end === undefined || performance.now() - started > forMs) end = performance.now() + forMs;
    // A body that ends because of the abort may look like one that was cut off.
    signal?.throwIfAborted();
    const remedy = await findRemedy(error);
    if (remedy === undefined || performance.now() >= end) throw describe(error);
    await remedy();
    await pause(pauseMs, signal);
  }
}
