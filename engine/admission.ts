/** Who gets a machine: what a host has, what is promised already, and the line of those who wait. First come, first served. */
import type { RunnerMemory } from "../runners/runner.ts";
import { EngineError } from "./errors.ts";
import { type HostMemory, readHostMemory } from "./host-memory.ts";
import { lacksMemory, type MemoryClaims, type MemoryLimits } from "./memory-claims.ts";
import type { OnProgress } from "./progress.ts";

/** While somebody waits the host's memory is looked at this often. */
const LOOK_MS = 1_000;
/** Whoever does not want to wait waits this long for machines that are starting: until they run they count in full. */
const START_WAIT_MS = 60_000;
/** Keeps 100 idle machines of 256 MiB well within 24 GiB. */
const OVERCOMMIT = 8;

export interface Limits extends MemoryLimits {
  sandboxes: number;
  perSandbox: { cpus: number; memoryMib: number };
}

export interface Need {
  id: string;
  name: string;
  cpus: number;
  memoryMib: number;
  /** Of the copy of its snapshot's memory that must be made first. Default 0. */
  copyMib?: number;
}

export interface WaitOptions {
  /** How long to wait in line; 0: refuse at once. */
  waitMs: number;
  onProgress: OnProgress;
  signal: AbortSignal;
}

interface Waiting {
  need: Need;
  /** It waits for machines that are starting, and for nothing else. */
  brief: boolean;
  onPlace: (place: number, why: string) => void;
  admitted: () => void;
}

/** What a host of this size can do, unless its configuration says otherwise. */
export function defaultLimits(totalMib: number): Limits {
  return {
    // A machine costs its host some 50 MiB even when it does nothing.
    sandboxes: Math.min(1000, Math.max(8, Math.floor(totalMib / 64))),
    memoryMib: totalMib,
    reserveMib: Math.max(256, Math.floor(totalMib / 20)),
    overcommit: OVERCOMMIT,
    perSandbox: { cpus: 64, memoryMib: 1_048_576 },
  };
}

export class Admission {
  /** Other ones count from the next request on. */
  limits: Limits;
  /** Asked each time: why no new machine is started now, with so much memory available, whatever the other figures say; null: nothing. */
  pressure: (availableMib: number) => string | null = () => null;
  /** Lets go of machines that nobody needs; null: there are none. */
  makeRoom: () => Promise<void> | null = () => null;
  readonly #host: () => HostMemory;
  readonly #runner: RunnerMemory;
  /** Sizes of machines, by sandbox; 0 when its machine has ended. */
  readonly #sizes = new Map<string, number>();
  /** Admitted and not started yet, with all that takes: the host's figures do not show it. */
  readonly #starting = new Map<string, number>();
  /** Memory of helpers and second processes. */
  readonly #helpers = new Map<symbol, number>();
  readonly #line: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: Limits, runner: RunnerMemory, host: () => HostMemory = readHostMemory) {
    this.limits = limits;
    this.#runner = runner;
    this.#host = host;
  }

  get figures(): { sandboxes: number; waiting: number } {
    return { sandboxes: this.#sizes.size, waiting: this.#line.length };
  }

  /** What is taken and claimed now. */
  get claims(): MemoryClaims {
    const { machinesMib, leftMib } = this.#runner.use();
    const { totalMib, availableMib } = this.#host();
    const live = [...this.#sizes].filter(([id, mib]) => mib > 0 && !this.#starting.has(id));
    const fullMib = sum(live.map(([, mib]) => this.#full(mib)));
    // Where nothing counts what machines own, all that is taken of the host may be theirs.
    const ownedMib = machinesMib ?? Math.min(fullMib, totalMib - availableMib);
    return {
      ...{ fullMib, ownedMib },
      availableMib: Math.min(availableMib, leftMib ?? availableMib),
      startingMib: sum(this.#starting.values()),
      helpersMib: sum(this.#helpers.values()),
    };
  }

  /** Throws `no-capacity` with the figures, at once or when the wait is over. Afterwards `started`, `ended` and `free` tell what became of it. */
  async admit(need: Need, options: WaitOptions): Promise<void> {
    this.checkSize(need);
    const room = this.#whyNot(need) === null ? null : this.makeRoom();
    if (room) await room;
    const why = this.#whyNot(need);
    if (why === null) return this.#promise(need);
    const brief = options.waitMs <= 0 && this.#fitsOnceStarted(need);
    if (options.waitMs <= 0 && !brief) throw refusal(named(need), why);
    await this.#wait(need, { ...options, brief, waitMs: brief ? START_WAIT_MS : options.waitMs });
  }

  /** Admits a machine that nobody waits for, without taking room from any other. Throws `no-capacity`. */
  admitSpare(need: Need): void {
    this.checkSize(need);
    const why = this.#whyNot(need);
    if (why !== null) throw refusal(named(need), why);
    this.#promise(need);
  }

  /**
   * Does work with a second machine, as a live freeze, which holds a machine's whole memory until that is on disk. It counts as a machine's
   * memory, and not as a sandbox. Throws `no-capacity`.
   */
  async withSecond<T>(of: { name: string; memoryMib: number }, work: () => Promise<T>): Promise<T> {
    const { name, memoryMib } = of;
    const needed = this.#full(memoryMib);
    const room = this.#lacksMemory(needed) === null ? null : this.makeRoom();
    if (room) await room;
    const why = this.#lacksMemory(needed);
    if (why !== null) throw refusal({ name: `the freeze of ${name}` }, why);
    return this.withHelper(work, needed);
  }

  /** Does work with a helper. Its memory counts and is not refused: it is small, and it may be what frees memory. */
  async withHelper<T>(work: () => Promise<T>, helperMib = this.#runner.helperMib): Promise<T> {
    const key = Symbol();
    this.#helpers.set(key, helperMib);
    try {
      return await work();
    } finally {
      this.#helpers.delete(key);
      this.#advance();
    }
  }

  /** One that is there already: it counts, whatever the limits say. */
  adopt(id: string, memoryMib: number): void {
    this.#sizes.set(id, memoryMib);
  }

  /** Its machine runs: from here on the host's own figures show it. */
  started(id: string): void {
    this.#starting.delete(id);
    this.#advance();
  }

  /** Its machine has ended; its folder is still there. */
  ended(id: string): void {
    this.#starting.delete(id);
    if (this.#sizes.has(id)) this.#sizes.set(id, 0);
    this.#advance();
  }

  free(id: string): void {
    this.#starting.delete(id);
    this.#sizes.delete(id);
    this.#advance();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #promise(need: Need): void {
    this.#sizes.set(need.id, need.memoryMib);
    this.#starting.set(need.id, this.#needed(need));
  }

  /** What a machine of this size may come to own. */
  #full(memoryMib: number): number {
    return memoryMib + this.#runner.overheadMib;
  }

  #needed({ memoryMib, copyMib = 0 }: Need): number {
    return this.#full(memoryMib) + copyMib;
  }

  /** Throws `no-capacity` for what no waiting helps against. */
  checkSize({ name, cpus, memoryMib }: Omit<Need, "id">): void {
    const why = this.#tooLarge({ cpus, memoryMib });
    if (why !== null)
      throw new EngineError("no-capacity", `no room for sandbox ${name}: ${why}`, { hint: "thaw doctor" });
  }

  /** Whether `checkSize` lets a machine of this size pass. */
  mayBe(size: Pick<Need, "cpus" | "memoryMib">): boolean {
    return this.#tooLarge(size) === null;
  }

  #tooLarge({ cpus, memoryMib }: Pick<Need, "cpus" | "memoryMib">): string | null {
    const { perSandbox, memoryMib: all } = this.limits;
    const most = Math.min(perSandbox.memoryMib, all);
    if (cpus > perSandbox.cpus)
      return `${cpus} cpus asked for, this host gives a sandbox ${perSandbox.cpus} at most`;
    return memoryMib > most
      ? `${memoryMib} MiB asked for, this host gives a sandbox ${most} MiB at most`
      : null;
  }

  #whyNot(need: Need): string | null {
    return this.#line.length > 0
      ? `${this.#line.length} sandboxes wait in line before it`
      : this.#lacks(need);
  }

  /** What is missing for it now, with the figures; null when nothing is. */
  #lacks(need: Need): string | null {
    return this.#lacksPlace(need) ?? this.#lacksMemory(this.#needed(need));
  }

  #lacksPlace({ id }: Need, waiting = 0): string | null {
    const { sandboxes } = this.limits;
    // One that is thawed again is among them already.
    const others = this.#sizes.size + waiting - (this.#sizes.has(id) ? 1 : 0);
    return others >= sandboxes ? `${this.#sizes.size} of ${sandboxes} sandboxes are there` : null;
  }

  #lacksMemory(neededMib: number): string | null {
    const { claims } = this;
    return this.pressure(claims.availableMib) ?? lacksMemory(neededMib, claims, this.limits);
  }

  /** Whether there is room but for those that are starting, or wait for that. */
  #fitsOnceStarted(need: Need): boolean {
    if (this.#starting.size === 0 || this.#line.some(({ brief }) => !brief)) return false;
    if (this.#lacksPlace(need, this.#line.length) !== null) return false;
    const { claims } = this;
    if (this.pressure(claims.availableMib) !== null) return false;
    const fullMib = claims.fullMib + claims.startingMib;
    return lacksMemory(this.#needed(need), { ...claims, fullMib, startingMib: 0 }, this.limits) === null;
  }

  async #wait(need: Need, options: WaitOptions & { brief: boolean }): Promise<void> {
    const { waitMs, onProgress, signal, brief } = options;
    signal.throwIfAborted();
    const since = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let said = "";
    let last = "";
    const waiting: Waiting = {
      ...{ need, brief },
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
    hint: "thaw ls; thaw rm SANDBOX, or wait for room: --wait 10m",
  });
}

const named = ({ name }: Need): { name: string } => ({ name: `sandbox ${name}` });

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
