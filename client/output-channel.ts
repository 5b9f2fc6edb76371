/** Takes a chunk of output; what it returns is awaited before the chunk counts as dealt with. */
export type OutputConsumer = (chunk: Uint8Array) => void | Promise<void>;

/** One output channel: counts bytes, hands them to the consumer in order and one at a time. */
export class OutputChannel {
  readonly #consume: OutputConsumer;
  readonly #dealt: () => void;
  readonly #fail: (error: unknown) => void;
  readonly #waiting: Uint8Array[] = [];
  #busy: PromiseWithResolvers<void> | undefined;
  /** Bytes that arrived, counted from the exec's start. */
  received = 0;
  /** Bytes the consumer is done with. */
  dealt = 0;

  constructor(options: { consume: OutputConsumer; dealt: () => void; fail: (error: unknown) => void }) {
    this.#consume = options.consume;
    this.#dealt = options.dealt;
    this.#fail = options.fail;
  }

  /** Output before `offset` is lost: goes on from there. */
  skipTo(offset: number): void {
    if (offset <= this.received) return;
    this.dealt += offset - this.received;
    this.received = offset;
    // Else the daemon takes us for a client that lags this far behind.
    this.#dealt();
  }

  push(chunk: Uint8Array): void {
    this.received += chunk.length;
    this.#waiting.push(chunk);
    if (this.#busy === undefined) this.#pump();
  }

  /** Resolves when everything that arrived was dealt with. */
  drained(): Promise<void> {
    return this.#busy?.promise ?? Promise.resolve();
  }

  /** Hands out chunks until one has to be waited for. */
  #pump(): void {
    for (let chunk = this.#waiting.shift(); chunk !== undefined; chunk = this.#waiting.shift()) {
      const { length } = chunk;
      try {
        const done = this.#consume(chunk);
        if (done !== undefined) {
          this.#busy ??= Promise.withResolvers<void>();
          done.then(() => this.#finish(length, true), this.#fail);
          return;
        }
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#finish(length, false);
    }
    this.#busy?.resolve();
    this.#busy = undefined;
  }

  #finish(length: number, goOn: boolean): void {
    this.dealt += length;
    this.#dealt();
    if (goOn) this.#pump();
  }
}
