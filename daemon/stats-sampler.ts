/** Measures all sandboxes at once, for however many followers, and not more often than once in `MIN_AGE_MS`. */
import { availableParallelism } from "node:os";
import type { SandboxStats, StatsSample } from "../api/schema.ts";
import { Gate } from "../engine/concurrency.ts";
import { type HostMemory, readHostMemory } from "../engine/host-memory.ts";

/** A sample is given to everybody who asks while it is younger than this. */
const MIN_AGE_MS = 900;
/** Machines that are measured at a time. */
const AT_ONCE = 8;
/** A machine that does not answer in time is left out of the sample. */
const MACHINE_MS = 1000;

/** What can be measured. */
export interface Measured {
  readonly id: string;
  readonly record: { readonly name: string; readonly state: string; readonly createdAt: string };
  stats(): Promise<{ pssBytes: number; rssBytes: number; cpuMs: number }>;
}

interface Reading {
  at: number;
  cpuMs: number;
}

export class StatsSampler {
  readonly #sandboxes: () => readonly Measured[];
  readonly #memory: () => HostMemory;
  #last: { at: number; sample: StatsSample } | null = null;
  #measuring: Promise<StatsSample> | null = null;
  #readings = new Map<string, Reading>();

  constructor(sandboxes: () => readonly Measured[], memory: () => HostMemory = readHostMemory) {
    this.#sandboxes = sandboxes;
    this.#memory = memory;
  }

  async sample(): Promise<StatsSample> {
    if (this.#last !== null && performance.now() - this.#last.at < MIN_AGE_MS) return this.#last.sample;
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  async #measure(): Promise<StatsSample> {
    const gate = new Gate(AT_ONCE);
    const readings = new Map<string, Reading>();
    const live = this.#sandboxes().filter(
      ({ record: { state } }) => state === "running" || state === "paused",
    );
    const measured = await Promise.all(live.map((one) => gate.run(() => this.#read(one, readings))));
    this.#readings = readings;
    const { totalMib, availableMib } = this.#memory();
    const sample: StatsSample = {
      time: new Date().toISOString(),
      host: { memoryMib: totalMib, availableMib, cpus: availableParallelism() },
      sandboxes: measured.filter((one) => one !== null),
    };
    this.#last = { at: performance.now(), sample };
    return sample;
  }

  async #read(sandbox: Measured, readings: Map<string, Reading>): Promise<SandboxStats | null> {
    const { id, record } = sandbox;
    const { promise: late, resolve } = Promise.withResolvers<null>();
    const timer = setTimeout(resolve, MACHINE_MS, null);
    try {
      const stats = await Promise.race([sandbox.stats(), late]);
      if (stats === null) return null;
      const at = performance.now();
      const before = this.#readings.get(id);
      readings.set(id, { at, cpuMs: stats.cpuMs });
      const cpuPercent =
        before === undefined ? null : Math.max(0, (100 * (stats.cpuMs - before.cpuMs)) / (at - before.at));
      const { name, state, createdAt } = record;
      return { id, name, state, createdAt, ...stats, cpuPercent };
    } catch {
      // It ended meanwhile, or is not taken up yet.
      return null;
    } finally {
      clearTimeout(timer);
    }
  }
}
