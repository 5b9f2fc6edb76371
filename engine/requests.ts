/** Requests that make sandboxes and may be asked again: a client that lost the answer asks by the same id and gets the same one. */

export class Requests {
  /** Under way, by the client's id. */
  readonly #running = new Map<string, Promise<unknown>>();

  /** What a request of this id has made already, if anything; else makes it. Requests of one id come one after the other. */
  async once<T>(
    { id, signal }: { id: string | undefined; signal: AbortSignal },
    work: { find: (id: string) => T | null; make: () => Promise<T> },
  ): Promise<T> {
    if (id === undefined) return work.make();
    for (let before = this.#running.get(id); before; before = this.#running.get(id)) {
      await before.catch(() => {});
      signal.throwIfAborted();
    }
    const known = work.find(id);
    if (known !== null) return known;
    const made = work.make();
    this.#running.set(id, made);
    try {
      return await made;
    } finally {
      this.#running.delete(id);
    }
  }
}
