/** Does what sandboxes' timers say: looks at every sandbox when something is due, and at least every few seconds. */
import { callingAsDaemon } from "../caller.ts";
import { Gate } from "../concurrency.ts";
import type { SandboxRecord } from "../sandboxes/record.ts";
import { readRecord, valueOrNull, writeRecord } from "../state/record.ts";
import { type Clock, type ClockReading, clockKind, jumpBetween, readClock } from "./clock.ts";
import { type Action, afterJump, idleAfter, type Next, nextOf } from "./timers.ts";

/** Between looks, when nothing is due earlier: a jump of the clock is noticed after this at the latest. */
const LOOK_MS = 5_000;
const SHORTEST_LOOK_MS = 20;
/** A machine's CPU time is read every tenth of its idle time, within these. */
const SAMPLE_MS = { least: 500, most: 30_000 };
/** After an action that failed. */
const RETRY_MS = 10_000;
const ACTIONS_AT_ONCE = 4;

/** What the life cycle needs of a sandbox. */
export interface Timed {
  readonly id: string;
  readonly record: Pick<SandboxRecord, "state" | "timers" | "name">;
  /** Whether it was used since this was last asked, or is now. */
  takeUse(): boolean;
  stats(): Promise<{ cpuMs: number }>;
  persistSoon(): Promise<void>;
}

export interface LifecycleOptions<S extends Timed> {
  clock: Clock;
  /** Where the last reading of the clocks is kept. */
  clockFile: string;
  sandboxes: () => readonly S[];
  act: (sandbox: S, action: Action) => Promise<void>;
  onJump: (jumpMs: number) => void;
  able: { pause: boolean; stop: boolean };
}

export class Lifecycle<S extends Timed> {
  readonly #options: LifecycleOptions<S>;
  readonly #samples = new Map<string, { atMs: number; cpuMs: number }>();
  readonly #acting = new Set<string>();
  readonly #retryAt = new Map<string, number>();
  readonly #gate = new Gate(ACTIONS_AT_ONCE);
  #reading: ClockReading | null = null;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | null = null;
  #started = false;
  #closed = false;

  constructor(options: LifecycleOptions<S>) {
    this.#options = options;
  }

  /** Begins, with what became due while no daemon ran. */
  async start(): Promise<void> {
    // Without it a jump of the clock since the last daemon goes unnoticed.
    this.#reading = valueOrNull(await readRecord(this.#options.clockFile, clockKind));
    this.#started = true;
    await this.look();
    if (this.#reading) await this.#keepReading(this.#reading);
  }

  /** Something changed: look again soon. */
  poke(): void {
    this.#schedule(SHORTEST_LOOK_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  next(sandbox: S): Next | null {
    const { state, timers } = sandbox.record;
    return nextOf(state, timers, this.#options.able);
  }

  /** One look at everything: the clocks, who is idle, what is due. Looks do not overlap. */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  async #look(): Promise<void> {
    await this.#checkClock();
    const all = this.#options.sandboxes();
    this.#forgetGone(all);
    const waits = await Promise.all(all.map((sandbox) => this.#lookAt(sandbox).catch(() => RETRY_MS)));
    this.#schedule(waits.reduce((least, wait) => Math.min(least, wait), LOOK_MS));
  }

  /** @returns ms until it has to be looked at again. */
  async #lookAt(sandbox: S): Promise<number> {
    const wait = await this.#sample(sandbox);
    const next = this.next(sandbox);
    if (next === null) return wait;
    const due =
      Math.max(Date.parse(next.at), this.#retryAt.get(sandbox.id) ?? 0) - this.#options.clock.wall();
    if (due > 0) return Math.min(wait, due);
    this.#act(sandbox, next.action);
    return wait;
  }

  /** Reads what a machine has used, when that is due, and keeps since when it is idle. */
  async #sample(sandbox: S): Promise<number> {
    const { state, timers } = sandbox.record;
    if (state !== "running" || timers.idleMs === null) {
      this.#samples.delete(sandbox.id);
      return LOOK_MS;
    }
    const interval = Math.min(SAMPLE_MS.most, Math.max(SAMPLE_MS.least, timers.idleMs / 10));
    const before = this.#samples.get(sandbox.id) ?? null;
    const nowMs = this.#options.clock.wall();
    const used = sandbox.takeUse();
    const pauseAt = timers.idleSince === null ? null : Date.parse(timers.idleSince) + timers.idleMs;
    const due = pauseAt !== null && pauseAt <= nowMs;
    if (before && !used && !due && nowMs - before.atMs < interval) return interval - (nowMs - before.atMs);
    const { cpuMs } = await sandbox.stats();
    if (sandbox.record.state !== "running") return LOOK_MS;
    const idle = idleAfter(timers, before, { nowMs, cpuMs, used });
    if (!due || idle.idleSince === null) this.#samples.set(sandbox.id, { atMs: nowMs, cpuMs });
    const changed = idle.idleSince !== timers.idleSince;
    Object.assign(timers, idle);
    if (changed) await sandbox.persistSoon();
    return interval;
  }

  #act(sandbox: S, action: Action): void {
    const { id } = sandbox;
    if (this.#acting.has(id) || this.#closed) return;
    this.#acting.add(id);
    void this.#gate
      .run(() => callingAsDaemon(() => this.#options.act(sandbox, action)))
      .then(
        () => this.#retryAt.delete(id),
        () => this.#retryAt.set(id, this.#options.clock.wall() + RETRY_MS),
      )
      .finally(() => {
        this.#acting.delete(id);
        this.poke();
      });
  }

  async #checkClock(): Promise<void> {
    const now = readClock(this.#options.clock);
    const before = this.#reading;
    this.#reading = now;
    const jump = before ? jumpBetween(before, now) : 0;
    if (jump === 0) return;
    for (const sample of this.#samples.values()) sample.atMs += jump;
    for (const [id, at] of this.#retryAt) this.#retryAt.set(id, at + jump);
    await Promise.all(
      this.#options.sandboxes().map((sandbox) => {
        Object.assign(sandbox.record.timers, afterJump(sandbox.record.timers, jump, now.wall));
        return sandbox.persistSoon().catch(() => {});
      }),
    );
    this.#options.onJump(jump);
    await this.#keepReading(now);
  }

  /** A daemon that comes later compares with it: what the clock did while none was there shows, too. */
  async #keepReading(reading: ClockReading): Promise<void> {
    // Readings of another boot are of no use.
    await writeRecord(this.#options.clockFile, clockKind, reading, { survives: "daemon" }).catch(() => {});
  }

  #forgetGone(all: readonly S[]): void {
    const ids = new Set(all.map(({ id }) => id));
    for (const known of [this.#samples, this.#retryAt])
      for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
  }

  #schedule(ms: number): void {
    if (!this.#started || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.look().catch(() => {}), Math.max(SHORTEST_LOOK_MS, ms));
    this.#timer.unref();
  }
}
