/** Who uses a sandbox: attached clients and requests under way. It is idle only when nobody does. */
export class UseCount {
  #users = 0;
  #usedSince = false;
  /** By `performance.now`. */
  #lastUse = performance.now();

  get inUse(): boolean {
    return this.#users > 0;
  }

  /** Since when nobody uses it, by `performance.now`; null while somebody does. */
  get unusedSince(): number | null {
    return this.inUse ? null : this.#lastUse;
  }

  /** Whether it was used since this was last asked, or is used now. */
  take(): boolean {
    const used = this.inUse || this.#usedSince;
    this.#usedSince = false;
    return used;
  }

  /** Call the result to release. */
  acquire(): () => void {
    this.#users += 1;
    this.#usedSince = true;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      this.#lastUse = performance.now();
      this.#usedSince = true;
    };
  }
}
