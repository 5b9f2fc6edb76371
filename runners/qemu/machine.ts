/** A QEMU process as a `Machine`: the same for one this process started and for one it found. */
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../../host/pace.ts";
import { Agent } from "../agent/agent.ts";
import type { OpenOptions } from "../agent/session.ts";
import type { Keeper, KeeperStatus } from "../host/keeper.ts";
import {
  type Difference,
  type DifferenceOptions,
  type DiskWriting,
  type LiveFreeze,
  type LiveFreezeSpec,
  type Machine,
  type MachineEnd,
  type MachineRecord,
  type MachineStats,
  RunnerError,
} from "../runner.ts";
import { AGENT_SOCKET } from "./argv.ts";
import { readConsole } from "./console-log.ts";
import { isGrowth, watchGrowth } from "./disk-growth.ts";
import { endOfEvent, endOfProcess, endOfStatus } from "./ends.ts";
import { asObject, type QmpClient } from "./qmp.ts";
import { connectUnix } from "./unix-socket.ts";

/** Between the end of the control connection and the end of the process. */
const EXIT_TIMEOUT_MS = 2_000;
/** For an operation under way to let its machine go on. */
const DETACH_TIMEOUT_MS = 5_000;
const SETTLE_MAX_DELAY_MS = 60_000;
/** A flattening that cuts have ended this often in a row is let come to its end: each cut makes the chain deeper. */
const MAX_INTERRUPTED = 24;

export interface QemuMachineOptions {
  record: MachineRecord;
  qmp: QmpClient;
  keeper: Keeper;
  /** Writes the machine's state into a folder; absent when it was not booted to be frozen by this process. */
  freezer?: (dir: string) => Promise<void>;
  /** What can be done to a thawed machine while it lives; absent for one that was booted. */
  live?: LiveOperations;
}

export interface LiveOperations {
  freeze(source: LiveSource, spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze>;
  takeDifference(source: LiveSource, dir: string, options?: DifferenceOptions): Promise<Difference>;
  whyNoDifference(source: LiveSource): Promise<string | null>;
  dumpMemory(source: LiveSource): Promise<string>;
  saveCache(source: LiveSource, target: string, writing: DiskWriting): Promise<void>;
  /** Finishes a cut that a failed step or a killed daemon left: the machine goes on if it ran before. */
  finishCut(source: LiveSource): Promise<void>;
  /** Keeps the disk's chain shallow. The machine may be paused and continued meanwhile, but not cut. */
  flatten(source: LiveSource, signal: AbortSignal): Promise<void>;
}

export interface LiveSource {
  record: MachineRecord;
  qmp: QmpClient;
}

export class QemuMachine implements Machine {
  readonly record: MachineRecord;
  readonly #qmp: QmpClient;
  readonly #freezer: QemuMachineOptions["freezer"];
  readonly #live: LiveOperations | undefined;
  /** Pausing, resuming, live freezes and differences: one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #keeper: Keeper;
  readonly #watch: ReturnType<Keeper["watch"]>;
  readonly #listeners: ((end: MachineEnd) => void)[] = [];
  readonly #growthListeners: (() => void)[] = [];
  /** Ends told so far, for listeners that come later. */
  readonly #ends: MachineEnd[] = [];
  #leaving = false;
  /** Aborted when this process lets go of the machine or ends it. */
  readonly #left = new AbortController();
  /** QEMU folds the chain of disks, while other commands are sent to the machine. */
  #flattening: { abort: AbortController; over: Promise<void> } | null = null;
  #interrupted = 0;
  /** Paused by a full disk, and told so. */
  #held = false;
  /** The connection to the agent, while there is one. */
  #port: Socket | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: QemuMachineOptions) {
    this.record = options.record;
    this.#qmp = options.qmp;
    this.#freezer = options.freezer;
    this.#live = options.live;
    this.#keeper = options.keeper;
    this.#watch = this.#keeper.watch();
    void this.#watch.ended.then((status) => this.#onProcessEnd(status));
    this.#qmp.on("event", (event) => {
      if (isGrowth(event)) this.#tellGrowth();
      const end = endOfEvent(event);
      if (end !== undefined) this.#tell(end);
    });
    this.#qmp.on("close", () => void this.#onClose());
  }

  onEnd(listener: (end: MachineEnd) => void): void {
    this.#listeners.push(listener);
    for (const end of this.#ends) queueMicrotask(() => listener(end));
  }

  onDiskGrowth(listener: () => void): void {
    this.#growthListeners.push(listener);
  }

  watchDiskGrowth(bytes: number): Promise<void> {
    return watchGrowth(this.#qmp, bytes);
  }

  async agent(options: OpenOptions): Promise<Agent> {
    options.signal?.throwIfAborted();
    const socket = await this.#openPort();
    this.#port = socket;
    socket.once("close", () => {
      if (this.#port === socket) this.#port = undefined;
    });
    return Agent.connect(socket, options);
  }

  async pause(): Promise<void> {
    await this.#inTurn(async () => {
      // Else an unfinished cut would let the machine go on later.
      await this.#finishCut();
      await this.#qmp.execute("stop");
    });
  }

  async resume(): Promise<void> {
    this.#held = false;
    await this.#inTurn(async () => {
      await this.#finishCut();
      await this.#qmp.execute("cont");
    });
    if (this.#port !== undefined) return;
    // QEMU's port does not notice that its host left while the machine was paused; what the guest then writes blocks it until the next
    // host leaves. One that comes and goes at once puts that right.
    (await this.#openPort()).destroy();
  }

  foreground(): Promise<void> {
    return this.#keeper.foreground();
  }

  async state(): Promise<"running" | "paused" | "ended"> {
    const process = await this.#keeper.status();
    if (process?.end !== null) return "ended";
    const status = await this.#status();
    if (status === "running") return "running";
    return status === "shutdown" || status === "guest-panicked" || status === "internal-error"
      ? "ended"
      : "paused";
  }

  async console(): Promise<string> {
    return readConsole(this.record.stateDir, this.#qmp);
  }

  async freeze(dir: string): Promise<void> {
    if (this.#freezer === undefined) {
      throw new RunnerError(
        "unsupported",
        `machine ${this.record.id} was not booted by this process to be frozen`,
      );
    }
    this.#leaving = true;
    try {
      await this.#freezer(dir);
    } finally {
      await this.stop();
    }
  }

  freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    return this.#whileLive((live, source) => live.freeze(source, spec, signal));
  }

  takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference> {
    return this.#whileLive((live, source) => live.takeDifference(source, dir, options));
  }

  async whyNoDifference(): Promise<string | null> {
    return (await this.#orGone(async () => this.#live?.whyNoDifference(this.#source))) ?? null;
  }

  dumpMemory(): Promise<string> {
    return this.#whileLive((live, source) => live.dumpMemory(source));
  }

  saveCache(target: string, writing: DiskWriting): Promise<void> {
    return this.#whileLive((live, source) => live.saveCache(source, target, writing));
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end().catch((error: unknown) => {
      this.#stopped = undefined;
      throw error;
    });
    return this.#stopped;
  }

  stats(): Promise<MachineStats> {
    return this.#keeper.stats();
  }

  async detach(): Promise<void> {
    this.#leaving = true;
    this.#left.abort();
    // A machine that stands still for an operation under way would stay so until the next daemon.
    const settled = Promise.all([this.#turn, this.#flattening?.over]);
    await Promise.race([settled, sleep(paced(DETACH_TIMEOUT_MS), undefined, { ref: false })]);
    this.#qmp.close();
    this.#watch.close();
  }

  /** Finishes what an earlier process began, and tells of an end that happened while nobody was attached. */
  async catchUp(): Promise<void> {
    await this.#inTurn(() => this.#finishCut()).catch(() => this.#settleLater(0));
    const status = await this.#status();
    const end = endOfStatus(status, status === "shutdown" ? await this.console() : "");
    if (end !== undefined) this.#tell(end);
  }

  #whileLive<T>(work: (live: LiveOperations, source: LiveSource) => Promise<T>): Promise<T> {
    const live = this.#live;
    if (live === undefined) {
      const message = `machine ${this.record.id} was booted, not thawed: it can't be frozen while it runs`;
      return Promise.reject(new RunnerError("unsupported", message));
    }
    const done = this.#inTurn(async () => {
      await this.#endFlattening();
      return this.#orGone(() => work(live, this.#source));
    });
    done.then(
      () => this.settle(),
      () => this.settle(),
    );
    return done;
  }

  /** What fails because the machine ended meanwhile fails with that: a helper that no longer finds its process is no fault of the host. */
  async #orGone<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof RunnerError) || cause.code === "no-space") throw cause;
      const ended = this.#leaving || (await this.#keeper.status().catch(() => undefined))?.end !== null;
      if (!ended) throw cause;
      throw new RunnerError("machine-gone", `machine ${this.record.id} has ended: ${cause.message}`, {
        cause,
      });
    }
  }

  /** Finishes an unfinished cut, and begins to keep the disk's chain shallow. A cut gives the machine another file to grow, so that is told too. */
  settle(attempt = 0): void {
    this.#tellGrowth();
    this.#inTurn(() => this.#finishCut()).then(
      () => this.#inTurn(async () => this.#flatten()),
      () => this.#settleLater(attempt),
    );
  }

  /** Begins. Nobody waits for it. */
  #flatten(): void {
    if (this.#live === undefined || this.#leaving || this.#flattening !== null) return;
    const abort = new AbortController();
    const over = this.#live
      .flatten(this.#source, AbortSignal.any([abort.signal, this.#left.signal]))
      .catch(() => {})
      .then(() => {
        this.#flattening = null;
        this.#interrupted = abort.signal.aborted ? this.#interrupted + 1 : 0;
        this.#tellGrowth();
      });
    this.#flattening = { abort, over };
  }

  /** Before a cut. What was copied is not copied again by the next one, unless the disk is cut. */
  async #endFlattening(): Promise<void> {
    if (this.#interrupted < MAX_INTERRUPTED) this.#flattening?.abort.abort();
    await this.#flattening?.over;
  }

  /** QEMU did not answer: a machine that stands still must not have to wait for the next operation. */
  #settleLater(attempt: number): void {
    if (this.#leaving) return;
    const delayMs = Math.min(1_000 * 2 ** attempt, SETTLE_MAX_DELAY_MS);
    setTimeout(() => {
      if (!this.#leaving) this.settle(attempt + 1);
    }, delayMs).unref();
  }

  async #finishCut(): Promise<void> {
    await this.#live?.finishCut(this.#source);
  }

  get #source(): LiveSource {
    return { record: this.record, qmp: this.#qmp };
  }

  #tellGrowth(): void {
    if (this.#leaving) return;
    for (const listener of this.#growthListeners) listener();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #openPort(): Promise<Socket> {
    return connectUnix(join(this.record.runtimeDir, AGENT_SOCKET)).catch((cause: Error) => {
      const message = `machine ${this.record.id}: its agent port does not answer: ${cause.message}`;
      throw new RunnerError("machine-gone", message, { cause });
    });
  }

  async #status(): Promise<string> {
    return String(asObject(await this.#qmp.execute("query-status")).status);
  }

  #tell(end: MachineEnd): void {
    // Each request under way fails for itself; a full disk is news again only after a resume.
    const repeated = isHold(end) ? this.#held : this.#ends.some((told) => told.kind === end.kind);
    if (this.#leaving || repeated) return;
    this.#held = isHold(end);
    this.#ends.push(end);
    for (const listener of this.#listeners) listener(end);
  }

  /** The control connection ends a moment before the process, or without it. */
  async #onClose(): Promise<void> {
    if (this.#leaving) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), paced(EXIT_TIMEOUT_MS));
    });
    const first = await Promise.race([this.#watch.ended, late]);
    clearTimeout(timer);
    if (first === "late")
      this.#tell({ kind: "exited", detail: `QEMU of ${this.record.id} closed its control socket` });
  }

  #onProcessEnd(status: KeeperStatus | undefined): void {
    if (!this.#leaving) this.#tell(endOfProcess(status, this.record));
  }

  async #end(): Promise<void> {
    this.#leaving = true;
    this.#left.abort();
    await this.#keeper.end();
    this.#qmp.close();
    this.#watch.close();
  }
}

function isHold({ kind }: MachineEnd): boolean {
  return kind === "disk-full" || kind === "disk-failed";
}
