/** How much stdin may be under way: sent, and not known to have reached the guest. */
export const STDIN_WINDOW_BYTES = 256 * 1024;

/** Stdin that the guest has not acknowledged, kept for sending again after a reconnect. Offsets count from the exec's start. */
export class StdinWindow {
  #kept: Uint8Array[] = [];
  #start = 0;
  #end = 0;
  #begun = false;
  #ended = false;
  #room = Promise.withResolvers<void>();

  /** Whether the end of stdin was reached. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Begins where others that wrote before have left off. Changes nothing once a byte was written. */
  begin(offset: number): void {
    if (!this.#begun && offset > this.#end) this.#start = this.#end = offset;
  }

  /** Waits until another chunk may be taken. */
  async waitForRoom(): Promise<void> {
    while (this.#end - this.#start >= STDIN_WINDOW_BYTES) await this.#room.promise;
  }

  /** Keeps a chunk, which must not change any more. */
  push(data: Uint8Array): void {
    this.#begun = true;
    this.#kept.push(data);
    this.#end += data.length;
  }

  /** No more will come. */
  end(): void {
    this.#ended = true;
  }

  /** Forgets what the guest has taken. An offset beyond what was sent counts as all of it. */
  acknowledge(offset: number): void {
    const until = Math.min(offset, this.#end);
    while (this.#start < until) {
      const first = this.#kept[0];
      if (first === undefined) break;
      const taken = Math.min(first.length, until - this.#start);
      if (taken === first.length) this.#kept.shift();
      else this.#kept[0] = first.subarray(taken);
      this.#start += taken;
    }
    this.#wake();
  }

  /** What has to be sent again. */
  unacknowledged(): readonly Uint8Array[] {
    return this.#kept;
  }

  /** Lets writers go on: the connection is over and nothing will be acknowledged. */
  abandon(): void {
    this.#kept = [];
    this.#start = this.#end;
    this.#wake();
  }

  #wake(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers<void>();
  }
}
