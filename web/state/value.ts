import { useSyncExternalStore } from "react";

/** A value that is never changed in place, and tells who listens when there is another one. */
export class Value<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  readonly set = (change: (before: T) => T): void => {
    const next = change(this.#value);
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    for (const listener of this.#listeners) listener();
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Resolves when it is as wanted. */
  async until(isWanted: (value: T) => boolean): Promise<void> {
    if (isWanted(this.#value)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = this.subscribe(() => isWanted(this.#value) && resolve());
    await promise;
    end();
  }
}

export function useValue<T>(value: Value<T>): T {
  return useSyncExternalStore(value.subscribe, () => value.value);
}
