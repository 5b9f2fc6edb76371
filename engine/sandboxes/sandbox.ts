/** A sandbox: what may be asked of it, its state, and the order in which it changes. States and what they allow: state.ts. */
import { EventEmitter, once } from "node:events";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Agent } from "../../runners/agent/agent.ts";
import { SessionError } from "../../runners/agent/errors.ts";
import type { Identity } from "../../runners/agent/messages.ts";
import {
  type Difference,
  type DifferenceFiles,
  type DifferenceOptions,
  type Isolation,
  type LiveFreeze,
  type LiveFreezeSpec,
  type Machine,
  type MachineEnd,
  type MachineStats,
  type Runner,
  RunnerError,
  type SnapshotFiles,
} from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Exec } from "../execs/exec.ts";
import type { Suspect } from "../state/quarantine.ts";
import { writeRecord } from "../state/record.ts";
import { CaptureHooks } from "./capture-hooks.ts";
import type { Capturer } from "./capturer.ts";
import { recordPath } from "./dir.ts";
import { type ExecParams, ExecTable } from "./exec-table.ts";
import { clearFrozen } from "./frozen.ts";
import { FrozenMachine, type KeptMachine, type OnWake } from "./frozen-machine.ts";
import { freshIdentity } from "./identity.ts";
import { MachineLink } from "./machine-link.ts";
import { type SandboxRecord, sandboxKind } from "./record.ts";
import { checkTransition, checkVerb, isOver, type SandboxState, type Verb } from "./state.ts";
import type { GuestReport, Subject } from "./subject.ts";

const HELLO_DEADLINE_MS = 15_000;
/** A guest left behind by another daemon may have a backlog to write first. */
const ADOPT_DEADLINE_MS = 20_000;
const CONSOLE_TAIL_CHARS = 2000;
const CONSOLE_LINES = 100;
/** A capture does not wait longer for the guest's report of its processes. */
const INSPECT_DEADLINE_MS = 1000;
/** Between a connection that breaks and the event that its machine has ended. */
const END_EVENT_WAIT_MS = 3_000;

export interface Transition {
  from: SandboxState;
  to: SandboxState;
  reason: string | null;
}

interface SandboxEvents {
  /** Its machine ended or its agent broke the protocol; the record says why. */
  ended: [];
  transition: [Transition];
  /** It was removed, and nothing is left. */
  gone: [];
  execStarted: [Exec];
  execEnded: [Exec];
}

export interface ThawOptions {
  signal?: AbortSignal;
  /** What a machine of the snapshot had become. */
  difference?: DifferenceFiles | undefined;
  /** It was frozen while it ran, so its agent may be in the middle of a frame. */
  frozenLive?: boolean;
}

export class Sandbox extends EventEmitter<SandboxEvents> implements Subject {
  readonly record: SandboxRecord;
  readonly dir: string;
  rejectDuplicate: ((fingerprint: string) => void) | null = null;
  onWake: OnWake | null = null;
  readonly #link: MachineLink;
  readonly #execs: ExecTable;
  readonly #captures: CaptureHooks;
  readonly #frozen: FrozenMachine;
  #removing: Promise<void> | null = null;
  /** Attached clients and requests under way. */
  #users = 0;
  #usedSince = false;
  #gone = false;
  /** Pauses and wake-ups, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(dir: string, record: SandboxRecord, runner: Runner, capturer: Capturer | null = null) {
    super();
    this.setMaxListeners(0);
    this.dir = dir;
    this.record = record;
    const persist = () => this.persist();
    this.#captures = new CaptureHooks(this, capturer);
    this.#execs = new ExecTable({
      ...{ record, dir, persist },
      follow: (exec) => this.#follow(exec),
      prepareCapture: (exec) => this.#captures.prepare(exec),
      started: (exec) => this.emit("execStarted", exec),
    });
    this.#link = new MachineLink(
      runner,
      { id: record.id, stateDir: dir },
      {
        taken: (machine) => {
          record.machine = machine.record;
        },
        ended: (end) => void this.#ended(end),
        lost: (why) => void this.#sessionLost(why),
      },
    );
    this.#frozen = new FrozenMachine(
      {
        ...{ record, dir, persist },
        greet: (machine, signal) =>
          this.#link.connect(machine, { ...this.#identity(), deadlineMs: ADOPT_DEADLINE_MS, signal }),
        move: (to, reason) => this.#move(to, reason),
      },
      { runner, link: this.#link, execs: this.#execs },
    );
  }

  get id(): string {
    return this.record.id;
  }

  get isolation(): Isolation {
    const machine = this.#link.machine?.record ?? this.record.machine;
    return machine?.isolation ?? "emulated (not jailed)";
  }

  /** Records of its execs that could not be read. */
  get unreadableExecs(): readonly Suspect[] {
    return this.#execs.unreadable;
  }

  get execs(): ReadonlyMap<string, Exec> {
    return this.#execs.all;
  }

  /** Whether nothing is left of it. */
  get isGone(): boolean {
    return this.#gone;
  }

  /** Makes the machine and waits for its agent. On failure nothing is left but the caller's folder. */
  async thaw(snapshot: SnapshotFiles, options: ThawOptions = {}): Promise<void> {
    const { signal, difference } = options;
    const machine = await this.#link.thaw({ snapshot, difference }, signal);
    try {
      await this.#link.connect(machine, {
        ...this.#identity(),
        guestIsBetweenFrames: options.frozenLive !== true,
        deadlineMs: HELLO_DEADLINE_MS,
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      const text = await machine.console().catch(() => "");
      await machine.stop();
      throw Object.assign(error as Error, { console: text.slice(-CONSOLE_TAIL_CHARS) });
    }
    this.#move("running", null);
  }

  /** Takes up the machine of an earlier daemon, with its execs. A dead one becomes `failed`, with the reason. */
  async adopt(): Promise<void> {
    await this.#execs.restore();
    if (this.record.frozen) return this.#link.clear();
    await clearFrozen(this.dir);
    if (this.record.machine === null || isOver(this.record.state)) return;
    let machine: Machine;
    try {
      machine = await this.#link.adopt(this.record.machine);
    } catch (error) {
      return this.#end(
        "failed",
        `its machine was gone when the daemon came back: ${(error as Error).message}`,
      );
    }
    const state = await machine.state();
    if (state === "ended") return;
    if (state !== this.record.state) this.#move(state, null);
    if (state === "running") await this.#reconnect(machine);
  }

  /** Starts an exec. The same id twice answers with the first. `watch` gets it before it starts, so that no output is missed. */
  async exec(params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const known = params.id === undefined ? undefined : this.execs.get(params.id);
    if (known) return known;
    return this.use("exec", (agent) => this.#execs.start(agent, params, watch));
  }

  hide(text: string): string {
    return this.#execs.hide(text);
  }

  /** Whether it was used since this was last asked, or is used now: by an attached client or a request. */
  takeUse(): boolean {
    const used = this.#users > 0 || this.#usedSince;
    this.#usedSince = false;
    return used;
  }

  /** Keeps it from being idle. Call the result to release. */
  acquireUse(): () => void {
    this.#users += 1;
    this.#usedSince = true;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      this.#usedSince = true;
    };
  }

  /**
   * Does something with its agent; a paused sandbox is woken first. Throws `conflict` when its state does not allow it, `machine-ended`
   * when it ends meanwhile.
   */
  async use<T>(verb: Verb, work: (agent: Agent) => Promise<T>): Promise<T> {
    checkVerb(verb, this.record);
    const release = this.acquireUse();
    try {
      await this.wake();
      checkVerb(verb, this.record);
      return await work(this.#link.needAgent(this.record));
    } catch (error) {
      throw await this.#explain(error);
    } finally {
      release();
    }
  }

  async pause(): Promise<void> {
    checkVerb("pause", this.record);
    await this.#inTurn(async () => {
      checkVerb("pause", this.record);
      await this.#link.needMachine(this.record).pause();
      checkVerb("pause", this.record);
      await this.#become("paused", null);
    });
  }

  /** Pauses it for `reason`, unless somebody uses it by now. */
  async pauseIfUnused(reason: string): Promise<void> {
    await this.#inTurn(async () => {
      if (this.record.state !== "running" || this.#users > 0) return;
      await this.#link.needMachine(this.record).pause();
      if (this.record.state === "running") await this.#become("paused", reason);
    });
  }

  async resume(): Promise<void> {
    checkVerb("resume", this.record);
    await this.#inTurn(() => this.#resume());
  }

  /**
   * Lets a paused sandbox go on, also one that is being paused, and thaws a frozen one; nothing to do for others. Throws `no-space` when a full
   * disk holds it, `no-capacity` when there is no room for a machine.
   */
  async wake(): Promise<void> {
    await this.#inTurn(async () => {
      const { name, state, frozen, heldBy, reason } = this.record;
      if (!frozen && state !== "paused") return;
      if (heldBy === "disk-full")
        throw new EngineError("no-space", `sandbox ${name} is not woken: ${reason}`, {
          hint: `thaw resume ${name}`,
        });
      await this.#resume();
    });
  }

  /** Ends the machine of a paused sandbox once `take` has kept what it was. Throws `conflict` when somebody uses it. */
  async stopFrozen(take: () => Promise<KeptMachine>): Promise<void> {
    const checkUnused = (): void => {
      const { name, state, heldBy } = this.record;
      if (state !== "paused" || heldBy !== null || this.#users > 0 || this.#captures.busy)
        throw new EngineError("conflict", `sandbox ${name} is ${state}, and in use`);
    };
    await this.#inTurn(() => this.#frozen.freeze(take, checkUnused));
  }

  allowLive(verb: "freeze" | "fork"): void {
    checkVerb(verb, this.record);
  }

  async freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    this.allowLive("freeze");
    return this.#link.needMachine(this.record).freezeLive(spec, signal);
  }

  async takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference> {
    this.allowLive("fork");
    return this.#link.needMachine(this.record).takeDifference(dir, options);
  }

  async inspectGuest(): Promise<GuestReport> {
    const nothing = { processes: [], listening: [] };
    const { agent } = this.#link;
    if (!agent || this.record.state !== "running") return nothing;
    const late = new Promise<typeof nothing>((resolve) =>
      setTimeout(resolve, INSPECT_DEADLINE_MS, nothing).unref(),
    );
    const told = agent.processes().then(({ processes, listening }) => ({ processes, listening }));
    return Promise.race([told.catch(() => nothing), late]);
  }

  async consoleLines(): Promise<string[]> {
    const text = await this.#link.machine?.console().catch(() => "");
    return (text ?? "").trimEnd().split("\n").slice(-CONSOLE_LINES);
  }

  /** Captures its execs that run and ask for that when they are cancelled: its client is gone. */
  async captureCancelled(): Promise<void> {
    if (this.record.state === "running") await this.#captures.captureAll({ trigger: "cancel", exit: null });
  }

  /** Forgets an exec that has ended, with its log. */
  dropExec(exec: Exec): Promise<void> {
    return this.#execs.drop(exec);
  }

  async stats(): Promise<MachineStats> {
    checkVerb("stats", this.record);
    return this.#link.needMachine(this.record).stats();
  }

  /** Ends the machine and removes all that is on disk. Every caller waits for the same end. */
  remove(why?: EngineError): Promise<void> {
    this.#removing ??= this.#remove(
      why ?? new EngineError("cancelled", `sandbox ${this.record.name} was removed`),
    );
    return this.#removing;
  }

  /** The daemon leaves; the machine goes on. */
  async detach(): Promise<void> {
    await this.#execs.close();
    this.#link.detach();
  }

  async persist(): Promise<void> {
    if (!this.#removing) await this.#write();
  }

  async #resume(): Promise<void> {
    checkVerb("resume", this.record);
    if (this.record.frozen) return this.#frozen.wake(this.record.frozen, this.onWake);
    const machine = this.#link.needMachine(this.record);
    this.record.heldBy = null;
    try {
      await machine.resume();
      if (!this.#link.agent) await this.#reconnect(machine);
    } catch (error) {
      throw await this.#explain(error);
    }
    checkVerb("resume", this.record);
    if (this.#heldAgain()) throw new EngineError("no-space", String(this.record.reason));
    await this.#become("running", null);
  }

  /** An exact replay keeps the recorded entropy, clock and names. */
  #identity(): { identity?: Identity } {
    if (this.record.replay?.exact) return {};
    const identity = freshIdentity(this.record.name, this.record.machineId);
    this.record.machineId = identity.machineId;
    return { identity };
  }

  /** Whether the disk was still full when it went on. */
  #heldAgain(): boolean {
    return this.record.heldBy !== null;
  }

  async #remove(reason: EngineError): Promise<void> {
    await this.#captures.settled();
    this.#move("removed", reason.message);
    await this.#write().catch(() => {});
    if (this.#frozen.abort(reason)) await this.#turn;
    await this.#execs.fail(reason);
    this.#link.hangUp();
    // Out of sight first: a crash from here on leaves a folder that the next start clears.
    const grave = join(dirname(this.dir), `.${basename(this.dir)}`);
    if (this.#link.machine) await this.#link.stop();
    else await this.#link.clear();
    await this.#execs.close();
    await rename(this.dir, grave).catch(() => {});
    await rm(grave, { recursive: true, force: true });
    this.#gone = true;
    this.emit("gone");
  }

  async #write(): Promise<void> {
    // A machine does not survive a power loss; what was frozen to disk does.
    const survives = this.record.frozen ? "power-loss" : "daemon";
    await writeRecord(recordPath(this.dir), sandboxKind, this.record, { survives });
  }

  async #reconnect(machine: Machine): Promise<void> {
    try {
      const agent = await this.#link.connect(machine, { deadlineMs: ADOPT_DEADLINE_MS });
      await this.#execs.resume(agent);
    } catch (error) {
      if (!this.#removing) await this.#end("failed", (error as Error).message);
    }
  }

  /** A guest that breaks the protocol is ended; a connection that merely closed is made again. */
  async #sessionLost(why: SessionError): Promise<void> {
    this.#execs.detach();
    if (this.record.state !== "running") return;
    const { machine } = this.#link;
    if (why.kind === "fault" || !machine)
      return this.#end("failed", `its agent broke the protocol: ${why.message}`);
    if ((await machine.state().catch(() => "ended")) === "running") await this.#reconnect(machine);
  }

  async #ended(end: MachineEnd): Promise<void> {
    if (isOver(this.record.state)) return;
    switch (end.kind) {
      case "disk-full":
        this.record.heldBy = "disk-full";
        return this.#become(
          "paused",
          `paused: the host's disk is full (${end.detail}); free some space, then thaw resume ${this.record.name}`,
        );
      case "powered-off":
        return this.#end("stopped", "the guest powered off");
      case "rebooted":
        return this.#end("stopped", "the guest asked for a reboot");
      case "panicked": {
        await this.#captures.captureAll({ trigger: "panic", exit: null });
        const lines = await this.consoleLines();
        const said = lines.find((line) => line.includes("Kernel panic")) ?? lines.at(-1) ?? "";
        return this.#end("failed", `the guest's kernel panicked: ${said.trim()}`);
      }
      case "exited":
        return this.#end("failed", `its machine ended: ${end.detail}`);
    }
  }

  async #end(state: "stopped" | "failed", reason: string): Promise<void> {
    if (isOver(this.record.state)) return;
    this.#move(state, reason);
    this.#link.hangUp();
    await this.#execs.fail(
      new EngineError("machine-ended", `sandbox ${this.record.name} is ${state}: ${reason}`),
    );
    await this.#link.stop().catch(() => {});
    await this.persist().catch(() => {});
    this.emit("ended");
  }

  async #become(state: "running" | "paused", reason: string | null): Promise<void> {
    if (state === this.record.state) this.record.reason = reason;
    else this.#move(state, reason);
    await this.persist();
  }

  /** The one place where its state changes. */
  #move(to: SandboxState, reason: string | null): void {
    const { state: from, name, timers } = this.record;
    checkTransition(name, from, to, this.record.frozen !== null);
    this.record.state = to;
    this.record.reason = reason;
    timers.stateSince = new Date().toISOString();
    timers.idleSince = null;
    this.emit("transition", { from, to, reason });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  #follow(exec: Exec): void {
    if (exec.isOver) return;
    exec.once("ended", () => this.emit("execEnded", exec));
    this.#captures.follow(exec);
  }

  /** Returns `machine-ended` if the machine ended during the request, else the error itself. */
  async #explain(error: unknown): Promise<unknown> {
    const broken =
      (error instanceof SessionError && error.kind === "closed") ||
      (error instanceof RunnerError && error.code === "machine-gone");
    if (broken && !isOver(this.record.state))
      await once(this, "transition", { signal: AbortSignal.timeout(END_EVENT_WAIT_MS) }).catch(() => {});
    const { name, state, reason } = this.record;
    const ours = error instanceof EngineError && error.code !== "conflict";
    if (!isOver(state) || ours) return error;
    return new EngineError(
      "machine-ended",
      state === "removed"
        ? (reason ?? `sandbox ${name} was removed`)
        : `sandbox ${name} is ${state}: ${reason}`,
      { cause: error },
    );
  }
}
