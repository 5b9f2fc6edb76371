/** How much of something a guest may send: a steady rate, and a burst beyond it. */

export interface BudgetSize {
  perSecond: number;
  /** Spent at once after a pause. */
  burst: number;
}

export class Budget {
  readonly #size: BudgetSize;
  readonly #now: () => number;
  #left: number;
  #at: number;

  /** @param now milliseconds that only grow */
  constructor(size: BudgetSize, now: () => number = () => performance.now()) {
    this.#size = size;
    this.#now = now;
    this.#left = size.burst;
    this.#at = now();
  }

  /** May go below zero: what was sent can't be taken back. */
  spend(amount: number): void {
    this.#left -= amount;
  }

  /** Milliseconds until nothing is owed; 0: more may come now. */
  waitMs(): number {
    const now = this.#now();
    const { perSecond, burst } = this.#size;
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1000) * perSecond);
    this.#at = now;
    return this.#left >= 0 ? 0 : Math.ceil((-this.#left / perSecond) * 1000);
  }
}
