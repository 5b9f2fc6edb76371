/** Captures and snapshots that something under way needs, though nothing on disk says so yet: a thaw, an export. They are not pruned. */

export class Holds {
  readonly #counts = new Map<string, number>();

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

  has(id: string): boolean {
    return this.#counts.has(id);
  }
}
