/** Captures and snapshots that something under way needs, though nothing on disk says so yet: a thaw, an export. They are not pruned. */

/** Between two requests of a client that carries something from or to a store: nobody says when it has given up. */
const KEPT_MS = 30 * 60_000;

export class Holds {
  readonly #counts = new Map<string, number>();
  readonly #until = new Map<string, number>();
  readonly #now: () => number;

  /** @param now milliseconds that only ever grow */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** @param id of a capture or a snapshot */
  take(id: string): Disposable {
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const left = (this.#counts.get(id) ?? 1) - 1;
        if (left > 0) this.#counts.set(id, left);
        else this.#counts.delete(id);
      },
    };
  }

  /** As `take`, and half an hour longer, in which whoever carries it comes back. */
  carry(id: string): Disposable {
    const hold = this.take(id);
    this.#keep(id);
    return {
      [Symbol.dispose]: () => {
        this.#keep(id);
        hold[Symbol.dispose]();
      },
    };
  }

  has(id: string): boolean {
    return this.#counts.has(id) || (this.#until.get(id) ?? 0) > this.#now();
  }

  #keep(id: string): void {
    const now = this.#now();
    for (const [one, until] of this.#until) if (until <= now) this.#until.delete(one);
    this.#until.set(id, now + KEPT_MS);
  }
}
