/** A gVisor sandbox as a `Machine`: the same for one this process started and for one it found. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Agent } from "../agent/agent.ts";
import type { OpenOptions } from "../agent/session.ts";
import type { Keeper, KeeperStatus } from "../host/keeper.ts";
import {
  type Difference,
  type DifferenceOptions,
  type LiveFreeze,
  type LiveFreezeSpec,
  type Machine,
  type MachineEnd,
  type MachineRecord,
  type MachineStats,
  RunnerError,
} from "../runner.ts";
import { packCheckpoint } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { endOf } from "./ends.ts";
import { filesOf, linkOrCopy, removeFiles } from "./place.ts";
import { openPort } from "./port.ts";
import { Runsc } from "./runsc.ts";
import { groupStats } from "./stats.ts";

export class GvisorMachine implements Machine {
  readonly record: MachineRecord;
  readonly #context: Context;
  readonly #keeper: Keeper;
  readonly #runsc: Runsc;
  readonly #watch: ReturnType<Keeper["watch"]>;
  readonly #listeners: ((end: MachineEnd) => void)[] = [];
  #ended: MachineEnd | undefined;
  /** Pausing, resuming and checkpoints: one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #leaving = false;
  #stopped: Promise<void> | undefined;

  constructor(context: Context, record: MachineRecord, keeper: Keeper) {
    this.record = record;
    this.#context = context;
    this.#keeper = keeper;
    this.#runsc = new Runsc(context, record);
    this.#watch = keeper.watch();
    void this.#watch.ended.then((status) => this.#tellEnd(status));
  }

  onEnd(listener: (end: MachineEnd) => void): void {
    this.#listeners.push(listener);
    const ended = this.#ended;
    if (ended !== undefined) queueMicrotask(() => listener(ended));
  }

  /** What it writes is in its memory, which is limited already. */
  async watchDiskGrowth(): Promise<void> {
    throw this.#cannot("tell how its disk grows");
  }

  onDiskGrowth(): void {}

  async agent(options: OpenOptions): Promise<Agent> {
    options.signal?.throwIfAborted();
    try {
      return await Agent.connect(openPort(filesOf(this.record)), options);
    } catch (cause) {
      if (!isSystemError(cause)) throw cause;
      const message = `machine ${this.record.id}: its agent does not answer: ${cause.message}`;
      throw new RunnerError("machine-gone", message, { cause });
    }
  }

  async pause(): Promise<void> {
    await this.#inTurn(async () => {
      if ((await this.#runsc.status()) !== "paused") await this.#runsc.pause();
    });
  }

  async resume(): Promise<void> {
    await this.#inTurn(async () => {
      if ((await this.#runsc.status()) === "paused") await this.#runsc.resume();
    });
  }

  foreground(): Promise<void> {
    return this.#keeper.foreground();
  }

  async state(): Promise<"running" | "paused" | "ended"> {
    const process = await this.#keeper.status();
    if (process?.end !== null) return "ended";
    return (await this.#runsc.status()) === "paused" ? "paused" : "running";
  }

  /** The last 8 KiB. */
  async console(): Promise<string> {
    const status = (await this.#keeper.status().catch(() => undefined)) ?? (await this.#keeper.recordedEnd());
    return status?.stderr ?? "";
  }

  async freeze(dir: string): Promise<void> {
    this.#leaving = true;
    try {
      const { memory, state } = partsIn(dir, "memory");
      const image = await this.#checkpoint({ goesOn: false });
      await packCheckpoint(image, { memory, state });
    } finally {
      await this.stop();
    }
  }

  freezeLive({ dir }: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    const started = performance.now();
    return this.#inTurn(async () => {
      const { image, pauseMs } = await this.#takeCheckpoint(signal);
      await packCheckpoint(image, partsIn(dir, "memory"));
      await linkOrCopy(filesOf(this.record).root, join(dir, "disk.qcow2"));
      const totalMs = performance.now() - started;
      const { build } = this.record.needs;
      return { build, layers: [], pauseMs, totalMs, converged: true, imported: this.record.imported };
    });
  }

  takeDifference(dir: string, options: DifferenceOptions = {}): Promise<Difference> {
    return this.#inTurn(async () => {
      await options.after;
      const { image, pauseMs } = await this.#takeCheckpoint(options.signal);
      const copiedBytes = await packCheckpoint(image, partsIn(dir, "pages"));
      const id = `${this.record.id}-${Date.now().toString(36)}`;
      const { build } = this.record.needs;
      return { dir, id, layers: [], build, pauseMs, copiedBytes, imported: this.record.imported };
    });
  }

  async whyNoDifference(): Promise<string | null> {
    return null;
  }

  async dumpMemory(): Promise<string> {
    throw this.#cannot("write its physical memory");
  }

  async saveCache(): Promise<void> {
    throw this.#cannot("keep cached folders");
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end().catch((error: unknown) => {
      this.#stopped = undefined;
      throw error;
    });
    return this.#stopped;
  }

  stats(): Promise<MachineStats> {
    return groupStats(this.#context.tools.cgroup, this.record.id);
  }

  async detach(): Promise<void> {
    this.#leaving = true;
    await this.#turn;
    this.#watch.close();
  }

  /** The machine goes on, or stays paused. */
  async #takeCheckpoint(signal: AbortSignal | undefined): Promise<{ image: string; pauseMs: number }> {
    const wasPaused = (await this.#runsc.status()) === "paused";
    const started = performance.now();
    const image = await this.#checkpoint({ goesOn: true, signal });
    const pauseMs = wasPaused ? 0 : performance.now() - started;
    if (wasPaused && (await this.#runsc.status()) !== "paused") await this.#runsc.pause();
    return { image, pauseMs };
  }

  /** @returns a folder with the checkpoint, in the machine's own folder */
  async #checkpoint(how: { goesOn: boolean; signal?: AbortSignal | undefined }): Promise<string> {
    const { dir } = filesOf(this.record);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const image = await mkdtemp(join(dir, "checkpoint-"));
    try {
      await this.#runsc.checkpoint(image, how);
      return image;
    } catch (error) {
      await rm(image, { recursive: true, force: true });
      throw error;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #tellEnd(status: KeeperStatus | undefined): void {
    if (this.#leaving) return;
    this.#ended = endOf(status, this.record);
    for (const listener of this.#listeners) listener(this.#ended);
  }

  #cannot(what: string): RunnerError {
    return new RunnerError("unsupported", `a gVisor machine can't ${what}`);
  }

  async #end(): Promise<void> {
    this.#leaving = true;
    await this.#keeper.end();
    this.#watch.close();
    await removeFiles(this.record);
  }
}

function partsIn(dir: string, memory: "memory" | "pages"): { memory: string; state: string } {
  return { memory: join(dir, memory), state: join(dir, "devices") };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}
