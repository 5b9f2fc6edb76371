/** An exec's output as a reader pulls it: a slow one costs neither memory nor the exec's time, it reads from disk what it is behind. */
import type { Exec } from "./exec.ts";
import type { LogPiece, Output } from "./log.ts";
import type { Position } from "./positions.ts";
import type { Reader } from "./subscriber.ts";

export type Followed = LogPiece | { droppedUntil: number; channel: Output };

/** Held for a reader; beyond it, what comes is read from disk again later. */
const MAX_HELD_BYTES = 1 << 20;
const PIECE_BYTES = 256;

class Queue implements Reader {
  #items: Followed[] = [];
  #bytes = 0;
  #wakeReader = (): void => {};
  #wakeWriter: (() => void)[] = [];
  /** More came than is held: from here on the log has it. */
  overflown = false;

  output(piece: LogPiece): void {
    if (this.overflown) return;
    this.#push(piece, piece.data.length + PIECE_BYTES);
  }

  dropped(channel: Output, offset: number): void {
    if (!this.overflown) this.#push({ droppedUntil: offset, channel }, PIECE_BYTES);
  }

  lag(): number {
    return 0;
  }

  async room(): Promise<void> {
    while (this.#bytes > MAX_HELD_BYTES) await new Promise<void>((resolve) => this.#wakeWriter.push(resolve));
  }

  /** What has come; waits until something has, or `wake` is called. */
  async take(): Promise<Followed[]> {
    if (this.#items.length === 0) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    return this.takeNow();
  }

  takeNow(): Followed[] {
    const items = this.#items;
    this.#items = [];
    this.#bytes = 0;
    for (const wake of this.#wakeWriter.splice(0)) wake();
    return items;
  }

  wake(): void {
    this.#wakeReader();
  }

  /** Lets a catching-up subscriber end. */
  release(): void {
    this.#bytes = 0;
    for (const wake of this.#wakeWriter.splice(0)) wake();
  }

  #push(item: Followed, bytes: number): void {
    // While catching up, `room` paces; live, one piece may pass the limit and the next is refused.
    if (this.#bytes > MAX_HELD_BYTES) {
      this.overflown = true;
      return;
    }
    this.#items.push(item);
    this.#bytes += bytes;
    this.#wakeReader();
  }
}

/**
 * Yields output from `from` on: all that is there and, with `follow`, what comes until the exec has ended. Each byte once; what is no longer
 * kept is said.
 */
export async function* followExec(
  exec: Exec,
  options: { from: Position; follow: boolean; signal: AbortSignal },
): AsyncGenerator<Followed, void> {
  const { follow, signal } = options;
  const position = { ...options.from };
  for (let again = true; again && !signal.aborted; ) {
    const queue = new Queue();
    const { stop, ready } = exec.subscribe(queue, position);
    let over = false;
    let failure: unknown;
    const enough = ready.then(() => (follow ? exec.ended(signal) : undefined));
    enough
      .catch((error: unknown) => {
        failure = error;
      })
      .finally(() => {
        over = true;
        queue.wake();
      });
    const abort = (): void => queue.wake();
    signal.addEventListener("abort", abort);
    try {
      while (!signal.aborted) {
        const items = over || queue.overflown ? queue.takeNow() : await queue.take();
        for (const item of items) {
          const until = "data" in item ? item.offset + item.data.length : item.droppedUntil;
          if (item.channel === 1) position.out = until;
          else position.err = until;
          yield item;
        }
        if (items.length === 0 && (over || queue.overflown)) break;
      }
      if (failure !== undefined && !signal.aborted) throw failure;
      again = queue.overflown;
    } finally {
      signal.removeEventListener("abort", abort);
      stop();
      queue.release();
    }
  }
}
