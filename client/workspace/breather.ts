import { setImmediate } from "node:timers/promises";

const TURN_MS = 20;

/** Lets other work (and signals) have their turn in a long loop. */
export class Breather {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Waits for a turn of the event loop when the last one is long ago. @throws the signal's reason. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return;
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#since = performance.now();
  }
}
