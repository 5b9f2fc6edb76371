/** Bytes that wait for their reader before the writer is asked to wait. */
const HIGH_WATER_BYTES = 1 << 20;

/** Hands output from a connection to one reader, in order. A slow reader holds the writer up. */
export class OutputQueue<T extends { length: number }> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #bytes = 0;
  #ended = false;
  #error: unknown;
  #discards = false;
  #wakeReader: (() => void) | undefined;
  #room: PromiseWithResolvers<void> | undefined;

  /** @returns a promise when the writer has to wait for the reader */
  push(item: T): void | Promise<void> {
    if (this.#discards || this.#ended) return;
    this.#items.push(item);
    this.#bytes += item.length;
    this.#wakeReader?.();
    if (this.#bytes < HIGH_WATER_BYTES) return;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** Nothing more comes. @param error what the reader is told after the last item */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wakeReader?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    try {
      for (;;) {
        const item = this.#items.shift();
        if (item !== undefined) {
          this.#bytes -= item.length;
          if (this.#bytes < HIGH_WATER_BYTES) this.#makeRoom();
          yield item;
        } else if (this.#ended) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
      }
    } finally {
      // A reader that stops early holds nobody up.
      this.#discards = true;
      this.#items.length = 0;
      this.#makeRoom();
    }
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
