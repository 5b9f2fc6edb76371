/** Flow control by absolute offsets (docs/PROTOCOL.md, ACK): the same arithmetic for every channel, in each direction. */

/** Bytes coming in. Says when an ACK is due, and when the peer has broken its window. */
export class ReceiveWindow {
  readonly #size: number;
  #received: number;
  #consumed: number;
  #acknowledged: number;

  constructor(size: number, offset = 0) {
    this.#size = size;
    this.#received = offset;
    this.#consumed = offset;
    this.#acknowledged = offset;
  }

  get received(): number {
    return this.#received;
  }

  /** False when the peer sent more than it may. */
  receive(bytes: number): boolean {
    this.#received += bytes;
    return this.#received - this.#acknowledged <= this.#size;
  }

  /** Marks `bytes` more as dealt with. Returns the offset to acknowledge now, or null when it can wait. */
  consume(bytes: number): number | null {
    this.#consumed += bytes;
    if (this.#consumed - this.#acknowledged < this.#size / 4) return null;
    this.#acknowledged = this.#consumed;
    return this.#acknowledged;
  }
}

/** Bytes going out. `room` may be 0; `acknowledge` wakes whoever waits for some. */
export class SendWindow {
  readonly #size: number;
  #sent: number;
  #acknowledged: number;
  #waiters: (() => void)[] = [];

  constructor(size: number, offset = 0) {
    this.#size = size;
    this.#sent = offset;
    this.#acknowledged = offset;
  }

  get room(): number {
    return this.#size - (this.#sent - this.#acknowledged);
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  send(bytes: number): void {
    this.#sent += bytes;
  }

  /** False when the peer acknowledges what was never sent. Older offsets are ignored. */
  acknowledge(offset: number): boolean {
    if (offset > this.#sent) return false;
    if (offset > this.#acknowledged) this.#acknowledged = offset;
    this.wake();
    return true;
  }

  wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  /** Resolves at the next `acknowledge` or `wake`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}
