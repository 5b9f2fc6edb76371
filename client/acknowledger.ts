const EVERY_BYTES = 256 * 1024;
const EVERY_MS = 50;

/** Decides when output that was dealt with is acknowledged: each 256 KiB, or 50 ms after the first byte that was not. */
export class Acknowledger {
  readonly #send: (out: number, err: number) => void;
  #out = 0;
  #err = 0;
  #sent = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (out: number, err: number) => void) {
    this.#send = send;
  }

  /** Takes note of the offsets dealt with so far. */
  note(out: number, err: number): void {
    this.#out = out;
    this.#err = err;
    if (out + err - this.#sent >= EVERY_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), EVERY_MS);
  }

  /** Sends the offsets now. */
  flush(): void {
    this.stop();
    this.#sent = this.#out + this.#err;
    this.#send(this.#out, this.#err);
  }

  /** Releases the timer. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
