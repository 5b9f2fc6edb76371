/** How many sandboxes of each snapshot are asked for, as the size of an automatic pool follows it. */

const REMEMBERED_MS = 3_600_000;
/** Requests within this time come faster than spares are made. */
const BURST_MS = 10_000;
const MOST_SPARES = 4;

export class Usage {
  readonly #asked = new Map<string, number[]>();
  readonly #now: () => number;

  /** @param now milliseconds that only ever grow */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  note(snapshot: string): void {
    const times = this.#recent(snapshot);
    times.push(this.#now());
    this.#asked.set(snapshot, times);
  }

  /** For each snapshot of the last hour, as many as were asked for in its busiest ten seconds, up to four. */
  sizes(): Map<string, number> {
    const sizes = new Map<string, number>();
    for (const snapshot of this.#asked.keys()) {
      const times = this.#recent(snapshot);
      if (times.length === 0) this.#asked.delete(snapshot);
      else sizes.set(snapshot, Math.min(MOST_SPARES, busiest(times)));
    }
    return sizes;
  }

  #recent(snapshot: string): number[] {
    const since = this.#now() - REMEMBERED_MS;
    return (this.#asked.get(snapshot) ?? []).filter((time) => time > since);
  }
}

function busiest(times: readonly number[]): number {
  let first = 0;
  let most = 0;
  times.forEach((time, index) => {
    while (time - (times[first] ?? time) > BURST_MS) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}
