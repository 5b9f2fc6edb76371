/** How long after the detach keys the same keys may follow, which sends them. */
const AGAIN_MS = 400;
/** How long the first of several keys waits for the next one. */
const NEXT_KEY_MS = 500;

/**
 * Finds the detach keys in what is typed. A beginning of several keys is held back for half a second, then sent. Once they leave: after a moment, or at the next other key. Twice they are sent once.
 * Terminals that were told to report keys in full write a control key as an escape sequence; that counts too.
 */
export class DetachReader {
  readonly #keys: Buffer;
  readonly #leave: () => void;
  readonly #send: (bytes: Buffer) => void;
  readonly #inFull: RegExp | undefined;
  /** Bytes that may become the keys. */
  #held: number[] = [];
  #complete = false;
  #left = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param on `leave`: the keys were typed. `send`: keys that were held back go on to the guest */
  constructor(keys: Uint8Array, on: { leave: () => void; send: (bytes: Buffer) => void }) {
    this.#keys = Buffer.from(keys);
    this.#leave = on.leave;
    this.#send = on.send;
    const [key] = keys;
    if (key !== undefined && keys.length === 1 && key < 0x20) {
      const codes = [key | 0x40, key | 0x60].join("|");
      this.#inFull = new RegExp(`\x1b\\[(?:(?:${codes});5u|27;5;(?:${codes})~)`, "g");
    }
  }

  /** @returns what goes on to the guest. */
  take(chunk: Buffer): Buffer {
    if (this.#keys.length === 0) return chunk;
    const bytes = this.#inFull === undefined || !chunk.includes(0x1b) ? chunk : this.#shorten(chunk);
    const out: number[] = [];
    for (const byte of bytes) this.#feed(byte, out);
    if (this.#held.length > 0 && !this.#complete)
      this.#wait(NEXT_KEY_MS, () => this.#send(Buffer.from(this.#held.splice(0))));
    return Buffer.from(out);
  }

  /** Nothing more is typed: keys that were complete leave now. @returns what goes on to the guest */
  end(): Buffer {
    if (this.#complete) this.#go();
    clearTimeout(this.#timer);
    return Buffer.from(this.#held.splice(0));
  }

  #wait(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #shorten(chunk: Buffer): Buffer {
    const key = String.fromCharCode(this.#keys[0] ?? 0);
    return Buffer.from(chunk.toString("latin1").replace(this.#inFull ?? "", key), "latin1");
  }

  #feed(byte: number, out: number[]): void {
    if (this.#left) return;
    this.#held.push(byte);
    while (
      this.#held.length > 0 &&
      !this.#keys.subarray(0, this.#held.length).equals(Buffer.from(this.#held))
    ) {
      if (this.#complete) return this.#go();
      out.push(this.#held.shift() ?? 0);
    }
    if (this.#held.length < this.#keys.length) return;
    this.#held = [];
    if (this.#complete) {
      this.#complete = false;
      clearTimeout(this.#timer);
      out.push(...this.#keys);
      return;
    }
    this.#complete = true;
    this.#wait(AGAIN_MS, () => this.#go());
  }

  #go(): void {
    clearTimeout(this.#timer);
    this.#left = true;
    this.#leave();
  }
}
