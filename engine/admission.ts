/** Who gets a machine: what a host has, what is promised already, and the line of those who wait. First come, first served. */
import { EngineError } from "./errors.ts";
import { type HostMemory, readHostMemory } from "./host-memory.ts";
import type { OnProgress } from "./progress.ts";

/** While somebody waits the host's memory is looked at this often. */
const LOOK_MS = 1_000;

export interface Limits {
  sandboxes: number;
  /** Of all machines together, by their size. Clones share most of it, so this may be more than the host has. */
  memoryMib: number;
  /** Left available to the rest of the host. */
  reserveMib: number;
  perSandbox: { cpus: number; memoryMib: number };
}

export interface Need {
  id: string;
  name: string;
  cpus: number;
  memoryMib: number;
}

export interface WaitOptions {
  /** How long to wait in line; 0: refuse at once. */
  waitMs: number;
  onProgress: OnProgress;
  signal: AbortSignal;
}

interface Waiting {
  need: Need;
  onPlace: (place: number, why: string) => void;
  admitted: () => void;
}

/** What a host of this size can do, unless its configuration says otherwise. */
export function defaultLimits(totalMib: number): Limits {
  return {
    // A machine costs its host some 50 MiB even when it does nothing.
    sandboxes: Math.min(1000, Math.max(8, Math.floor(totalMib / 64))),
    memoryMib: totalMib * 2,
    reserveMib: Math.max(256, Math.floor(totalMib / 20)),
    perSandbox: { cpus: 64, memoryMib: 1_048_576 },
  };
}

export class Admission {
  readonly limits: Limits;
  readonly #host: () => HostMemory;
  /** Memory promised, by sandbox; 0 when its machine has ended. */
  readonly #promised = new Map<string, number>();
  /** Admitted and not started yet: the host's figures do not show them. */
  readonly #starting = new Set<string>();
  /** Memory of live freezes' second processes. */
  readonly #seconds = new Map<symbol, number>();
  readonly #line: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: Limits, host: () => HostMemory = readHostMemory) {
    this.limits = limits;
    this.#host = host;
  }

  get figures(): { sandboxes: number; memoryMib: number; waiting: number } {
    return {
      sandboxes: this.#promised.size,
      memoryMib: this.#given,
      waiting: this.#line.length,
    };
  }

  /** Throws `no-capacity` with the figures, at once or when the wait is over. Afterwards `started`, `ended` and `free` tell what became of it. */
  async admit(need: Need, options: WaitOptions): Promise<void> {
    this.checkSize(need);
    const why = this.#line.length > 0 ? `${this.#line.length} wait in line before it` : this.#lacks(need);
    if (why === null) return this.#promise(need);
    if (options.waitMs <= 0) throw refusal(named(need), why);
    await this.#wait(need, options);
  }

  /**
   * Does the work of a live freeze, whose second process holds the machine's whole memory until that is on disk. It counts as a machine's
   * memory, and not as a sandbox. Throws `no-capacity`.
   */
  async withSecond<T>(sandbox: { name: string; memoryMib: number }, work: () => Promise<T>): Promise<T> {
    const why = this.#lacksMemory(sandbox.memoryMib);
    if (why !== null) throw refusal({ name: `the freeze of ${sandbox.name}` }, why);
    const key = Symbol(sandbox.name);
    this.#seconds.set(key, sandbox.memoryMib);
    try {
      return await work();
    } finally {
      this.#seconds.delete(key);
      this.#advance();
    }
  }

  /** One that is there already: it counts, whatever the limits say. */
  adopt(id: string, memoryMib: number): void {
    this.#promised.set(id, memoryMib);
  }

  /** Its machine runs: from here on the host's own figures show it. */
  started(id: string): void {
    this.#starting.delete(id);
  }

  /** Its machine has ended; its folder is still there. */
  ended(id: string): void {
    this.#starting.delete(id);
    if (this.#promised.has(id)) this.#promised.set(id, 0);
    this.#advance();
  }

  free(id: string): void {
    this.#starting.delete(id);
    this.#promised.delete(id);
    this.#advance();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #promise({ id, memoryMib }: Need): void {
    this.#promised.set(id, memoryMib);
    this.#starting.add(id);
  }

  /** Throws `no-capacity` for what no waiting helps against. */
  checkSize({ name, cpus, memoryMib }: Omit<Need, "id">): void {
    const { perSandbox, memoryMib: all } = this.limits;
    const most = Math.min(perSandbox.memoryMib, all);
    const why =
      cpus > perSandbox.cpus
        ? `${cpus} cpus asked for, this host gives a sandbox ${perSandbox.cpus} at most`
        : memoryMib > most
          ? `${memoryMib} MiB asked for, this host gives a sandbox ${most} MiB at most`
          : null;
    if (why !== null)
      throw new EngineError("no-capacity", `no room for sandbox ${name}: ${why}`, { hint: "thaw doctor" });
  }

  /** What is missing for it now, with the figures; null when nothing is. */
  #lacks({ id, memoryMib }: Need): string | null {
    const { limits } = this;
    // One that is thawed again is among them already.
    const others = this.#promised.size - (this.#promised.has(id) ? 1 : 0);
    if (others >= limits.sandboxes)
      return `${this.#promised.size} of ${limits.sandboxes} sandboxes are there`;
    return this.#lacksMemory(memoryMib);
  }

  get #given(): number {
    return sum(this.#promised.values()) + sum(this.#seconds.values());
  }

  #lacksMemory(memoryMib: number): string | null {
    const { limits } = this;
    const given = this.#given;
    if (given + memoryMib > limits.memoryMib)
      return `${memoryMib} MiB needed, ${given} of ${limits.memoryMib} MiB are given to sandboxes`;
    const starting =
      sum([...this.#starting].map((id) => this.#promised.get(id) ?? 0)) + sum(this.#seconds.values());
    const available = this.#host().availableMib - starting;
    if (available < memoryMib + limits.reserveMib)
      return `${memoryMib} MiB needed, ${Math.max(0, available)} MiB are available on the host, of which ${limits.reserveMib} MiB are kept free`;
    return null;
  }

  async #wait(need: Need, { waitMs, onProgress, signal }: WaitOptions): Promise<void> {
    signal.throwIfAborted();
    const since = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let said = "";
    let last = "";
    const waiting: Waiting = {
      need,
      onPlace: (place, why) => {
        last = why;
        const phase = `number ${place} in line`;
        if (said !== phase)
          onProgress({ type: "progress", subject: need.name, phase, state: "started", detail: why });
        said = phase;
      },
      admitted: () => {
        const elapsedMs = performance.now() - since;
        onProgress({ type: "progress", subject: need.name, phase: "in line", state: "done", elapsedMs });
        resolve();
      },
    };
    const onAbort = () => reject(signal.reason);
    const timer = setTimeout(
      () => reject(refusal(named(need), `${last}; waited ${Math.round(waitMs / 1000)} s`)),
      Math.min(waitMs, 0x7fff_ffff),
    );
    signal.addEventListener("abort", onAbort, { once: true });
    this.#line.push(waiting);
    this.#advance();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      const at = this.#line.indexOf(waiting);
      if (at >= 0) this.#line.splice(at, 1);
      this.#advance();
    }
  }

  /** Lets in from the front of the line who fits now; tells the others their place. */
  #advance(): void {
    clearTimeout(this.#timer);
    for (let first = this.#line[0]; first && this.#lacks(first.need) === null; first = this.#line[0]) {
      this.#line.shift();
      this.#promise(first.need);
      first.admitted();
    }
    const [first] = this.#line;
    if (!first) return;
    const why = this.#lacks(first.need) ?? "";
    this.#line.forEach((waiting, index) => {
      waiting.onPlace(index + 1, why);
    });
    this.#timer = setTimeout(() => this.#advance(), LOOK_MS);
  }
}

function refusal({ name }: Pick<Need, "name">, why: string): EngineError {
  return new EngineError("no-capacity", `no room for ${name}: ${why}`, {
    hint: "thaw ls; thaw rm what is not needed, or wait for room: --wait 10m",
  });
}

const named = ({ name }: Need): { name: string } => ({ name: `sandbox ${name}` });

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
