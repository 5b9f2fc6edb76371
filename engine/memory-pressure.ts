/**
 * What is done when the host runs short of memory: copies and machines that nothing needs are let go, idle sandboxes are paused, and when
 * that is not enough frozen to disk, the longest idle first. Leased and busy ones are never touched.
 */
import type { RunnerMemory } from "../runners/runner.ts";
import type { Admission } from "./admission.ts";
import { callingAsDaemon } from "./caller.ts";

const LOOK_MS = 1_000;
/** A stall counts for this long. */
const STALL_MS = 5_000;
/** With more than this many times the reserve available, tasks stand still for another reason: a limit of their own. */
const PLENTY = 4;
/** A sandbox that could not be frozen is left alone for this long. */
const RETRY_MS = 30_000;

export interface Pressure {
  reason: string;
  /** There is so little that nothing is waited for. */
  low: boolean;
}

/** @param availableMib to machines @param stalledMsAgo when tasks last stood still for want of memory; null: never. Pure. */
export function pressureOf(
  availableMib: number,
  { reserveMib, stalledMsAgo }: { reserveMib: number; stalledMsAgo: number | null },
): Pressure | null {
  const figures = `${Math.max(0, availableMib)} MiB are available, ${reserveMib} MiB are to be kept free`;
  if (availableMib < reserveMib / 2) return { low: true, reason: `memory pressure: ${figures}` };
  const stalls = stalledMsAgo !== null && stalledMsAgo < STALL_MS && availableMib < reserveMib * PLENTY;
  return stalls ? { low: false, reason: `memory pressure: tasks wait for memory; ${figures}` } : null;
}

/** A sandbox, as far as its memory goes. */
export interface Owner {
  readonly id: string;
  readonly record: { state: string; heldBy: string | null };
  /** Since when nobody uses it and it runs no command, by `performance.now`; null: it is busy, or ends with its client. */
  readonly idleSince: number | null;
}

/** Those to be paused now, or else the one to be frozen; the longest idle first. Pure. */
export function victims<O extends Owner>(owners: readonly O[]): { pause: O[]; freeze: O | null } {
  const idle = owners
    .filter(({ idleSince, record }) => idleSince !== null && record.heldBy === null)
    .sort((a, b) => (a.idleSince ?? 0) - (b.idleSince ?? 0));
  const running = idle.filter(({ record }) => record.state === "running");
  return {
    pause: running.slice(0, Math.ceil(running.length / 2)),
    freeze: running.length > 0 ? null : (idle.find(({ record }) => record.state === "paused") ?? null),
  };
}

export interface PressureOptions<O extends Owner> {
  memory: RunnerMemory;
  admission: Admission;
  owners: () => readonly O[];
  /** Whether there are machines that nobody needs. */
  hasSpares: () => boolean;
  pause: (owner: O, reason: string) => Promise<void>;
  freeze: (owner: O, reason: string) => Promise<void>;
}

export class MemoryPressure<O extends Owner> {
  readonly #options: PressureOptions<O>;
  readonly #retryAt = new Map<string, number>();
  #stalledAt: number | null = null;
  #stopWatching: (() => void) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #relieving = false;

  constructor(options: PressureOptions<O>) {
    this.#options = options;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
    // Without machines there is nothing that could be let go: then the figures alone decide.
    this.#options.admission.pressure = (availableMib) =>
      this.#hasMachines ? (this.#current(availableMib)?.reason ?? null) : null;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unwatch();
  }

  #look(): void {
    const { memory } = this.#options;
    if (!this.#hasMachines) return this.#unwatch();
    this.#stopWatching ??= memory.watchStalls(() => {
      this.#stalledAt = performance.now();
      this.#look();
    });
    if (this.#current() !== null && !this.#relieving) {
      this.#relieving = true;
      void callingAsDaemon(() => this.#relieve()).finally(() => {
        this.#relieving = false;
      });
    }
  }

  get #hasMachines(): boolean {
    const { owners, hasSpares } = this.#options;
    return hasSpares() || owners().some(({ record: { state } }) => state === "running" || state === "paused");
  }

  #current(availableMib = this.#options.admission.claims.availableMib): Pressure | null {
    const stalledMsAgo = this.#stalledAt === null ? null : performance.now() - this.#stalledAt;
    const { reserveMib } = this.#options.admission.limits;
    return pressureOf(availableMib, { reserveMib, stalledMsAgo });
  }

  /** One step for a stall; as many as it takes while there is next to nothing. */
  async #relieve(): Promise<void> {
    for (let found = this.#current(); found !== null; found = this.#current()) {
      const did = await this.#step(found.reason);
      if (!did || !found.low) return;
    }
  }

  /** @returns whether there was something to be done */
  async #step(reason: string): Promise<boolean> {
    const { memory, admission, owners, pause, freeze } = this.#options;
    if (memory.dropCopies() > 0) return true;
    const room = admission.makeRoom();
    if (room) {
      await room;
      return true;
    }
    const now = performance.now();
    const tried = owners().filter(({ id }) => (this.#retryAt.get(id) ?? 0) <= now);
    const found = victims(tried);
    const work = found.pause.map((owner) => ({ owner, act: pause }));
    if (found.freeze) work.push({ owner: found.freeze, act: freeze });
    await Promise.all(
      work.map(({ owner, act }) =>
        act(owner, reason).then(
          () => this.#retryAt.delete(owner.id),
          () => this.#retryAt.set(owner.id, performance.now() + RETRY_MS),
        ),
      ),
    );
    return work.length > 0;
  }

  #unwatch(): void {
    this.#stopWatching?.();
    this.#stopWatching = null;
    this.#retryAt.clear();
  }
}
