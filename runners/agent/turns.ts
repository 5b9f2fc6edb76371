/**
 * Who may write next to a connection that takes no more for now: one after the other, in the order in which they came. Each adds one frame
 * at most before the next has its turn, so that what is not bulk finds a short queue.
 */
import type { Duplex } from "node:stream";

export class Turns {
  readonly #duplex: Duplex;
  readonly #waiting: (() => void)[] = [];
  #watching = false;

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
  }

  /** Whether a writer has to wait. */
  get isBusy(): boolean {
    return this.#waiting.length > 0 || this.#duplex.writableNeedDrain;
  }

  /** Resolves when it is the caller's turn, or when the connection is gone. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#watch();
    });
  }

  #watch(): void {
    if (this.#watching) return;
    if (this.#duplex.destroyed) return this.#all();
    // It may have room again by now.
    if (!this.#duplex.writableNeedDrain) return void setImmediate(() => this.#one());
    this.#watching = true;
    const over = (): void => {
      this.#watching = false;
      this.#duplex.off("drain", over);
      this.#duplex.off("close", over);
      this.#one();
    };
    this.#duplex.on("drain", over);
    this.#duplex.on("close", over);
  }

  /** The next writer adds its frame before the one behind it is looked at. */
  #one(): void {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#watch());
  }

  #all(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
