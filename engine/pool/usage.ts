/** How many sandboxes of each snapshot are asked for, as the size of an automatic pool follows it. */

const REMEMBERED_MS = 3_600_000;
/** Requests within this time come faster than spares are made. */
const BURST_MS = 10_000;
const MOST_SPARES = 4;

export class Usage {
  readonly #asked = new Map<string, { name: string; times: number[] }>();
  readonly #now: () => number;

  /** @param now milliseconds that only ever grow */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** @param name what who asks calls the snapshot */
  note(snapshot: string, name: string): void {
    this.#asked.set(snapshot, { name, times: [...this.#recent(snapshot), this.#now()] });
  }

  /** Of each snapshot of the last hour: as many as were asked for in its busiest ten seconds, up to four. */
  sizes(): Map<string, { name: string; size: number }> {
    const sizes = new Map<string, { name: string; size: number }>();
    for (const [snapshot, { name }] of this.#asked) {
      const times = this.#recent(snapshot);
      if (times.length === 0) this.#asked.delete(snapshot);
      else sizes.set(snapshot, { name, size: Math.min(MOST_SPARES, busiest(times)) });
    }
    return sizes;
  }

  #recent(snapshot: string): number[] {
    const since = this.#now() - REMEMBERED_MS;
    return (this.#asked.get(snapshot)?.times ?? []).filter((time) => time > since);
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
