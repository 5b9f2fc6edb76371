/** A live sandbox: its machine, the session with its agent, and its execs. Its states and what they allow: state.ts. */
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Agent } from "../../runners/agent/agent.ts";
import { SessionError } from "../../runners/agent/errors.ts";
import type { Identity, StartParams } from "../../runners/agent/messages.ts";
import {
  type Difference,
  type DifferenceFiles,
  type DifferenceOptions,
  type Isolation,
  type LiveFreeze,
  type LiveFreezeSpec,
  type Machine,
  type MachineEnd,
  type Runner,
  RunnerError,
  type SnapshotFiles,
} from "../../runners/runner.ts";
import type { Cause, Provisional, Taken } from "../captures/captures.ts";
import type { CaseFile } from "../captures/case-file.ts";
import type { CiContext, RecordedRequest } from "../captures/request.ts";
import { type CapturePolicy, type Ending, holdsCrashes } from "../captures/triggers.ts";
import { EngineError } from "../errors.ts";
import { Exec } from "../execs/exec.ts";
import { type ExecRecord, execRecord } from "../execs/record.ts";
import { readRecord, writeWhole } from "../files.ts";
import { SecretMatcher } from "../secrets/matcher.ts";
import { sealSecrets } from "../secrets/sealed.ts";
import type { KeptMachine } from "./freeze-and-stop.ts";
import { clearFrozen, frozenDifference } from "./frozen.ts";
import { freshIdentity } from "./identity.ts";
import type { Frozen, SandboxRecord } from "./record.ts";
import { checkTransition, checkVerb, isOver, type SandboxState, type Verb } from "./state.ts";

const HELLO_DEADLINE_MS = 15_000;
/** A guest left behind by another daemon may have a backlog to write first. */
const ADOPT_DEADLINE_MS = 20_000;
const CONSOLE_TAIL_CHARS = 2000;
const CONSOLE_LINES = 100;
/** A capture does not wait longer for what the guest tells of itself. */
const LOOK_DEADLINE_MS = 1000;
/** Finished execs kept with their logs, per sandbox. */
const KEPT_EXECS = 100;
/** Between a connection that breaks and the word that its machine has ended. */
const END_NEWS_MS = 3_000;

export interface ExecParams extends Omit<StartParams, "id"> {
  id?: string | undefined;
  timeoutMs?: number | undefined;
  /** Default: never. */
  capture?: CapturePolicy | undefined;
  /** Names of variables in `env` that nothing on disk may hold. */
  mask?: readonly string[] | undefined;
  ci?: CiContext | undefined;
  /** Keep the machine as it is before the command, for its capture. */
  checkpoint?: boolean | undefined;
}

/** Who takes captures of it. */
export interface Capturer {
  /** Finds out ahead of need what this host can. */
  prepare(sandbox: Sandbox): void;
  take(sandbox: Sandbox, cause: Cause): Promise<Taken>;
  checkpoint(sandbox: Sandbox): Promise<void>;
  /** Of a process that the guest's kernel holds; nothing of it is kept unless it is confirmed. */
  takeProvisional(sandbox: Sandbox, cause: Cause): Promise<Provisional>;
}

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

export class Sandbox extends EventEmitter<SandboxEvents> {
  readonly record: SandboxRecord;
  readonly dir: string;
  readonly execs = new Map<string, Exec>();
  /** Called with the fingerprint of a failure before its capture is kept; throws when one like it is kept already. */
  keepsFirst: ((fingerprint: string) => void) | null = null;
  readonly #runner: Runner;
  readonly #capturer: Capturer | null;
  /** Captures under way: the machine is not torn down before they are taken. */
  readonly #takes = new Set<Promise<unknown>>();
  #secrets: SecretMatcher | null;
  #machine: Machine | null = null;
  #agent: Agent | null = null;
  #removing: Promise<void> | null = null;
  /** Who uses it now: attached clients, requests under way. */
  #users = 0;
  #usedSince = false;
  #gone = false;
  /** Pauses and wake-ups, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Calls off a thaw of what was frozen. */
  #waking: AbortController | null = null;
  /** The engine's part of thawing what was frozen: room, the snapshot's files, the word of how it went. */
  onWake: ((thaw: (files: SnapshotFiles) => Promise<void>, signal: AbortSignal) => Promise<void>) | null =
    null;

  constructor(dir: string, record: SandboxRecord, runner: Runner, capturer: Capturer | null = null) {
    super();
    this.setMaxListeners(0);
    this.dir = dir;
    this.record = record;
    this.#runner = runner;
    this.#capturer = capturer;
    this.#secrets = SecretMatcher.of(record.secrets);
  }

  get id(): string {
    return this.record.id;
  }

  get isolation(): Isolation {
    return this.#machine?.record.isolation ?? this.record.machine?.isolation ?? "emulated (not jailed)";
  }

  /** Makes the machine and waits for its agent. On failure nothing is left but the caller's folder. */
  async thaw(snapshot: SnapshotFiles, options: ThawOptions = {}): Promise<void> {
    const { signal, difference } = options;
    const spec = { id: this.id, stateDir: this.dir, snapshot, difference };
    const machine = await this.#runner.thaw(spec, signal);
    try {
      this.#take(machine);
      await this.#greet(machine, {
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
    await this.#restoreExecs();
    if (this.record.frozen) return this.#clearMachine();
    await clearFrozen(this.dir);
    if (this.record.machine === null || isOver(this.record.state)) return;
    let machine: Machine;
    try {
      machine = await this.#runner.adopt(this.record.machine);
    } catch (error) {
      return this.#end(
        "failed",
        `its machine was gone when the daemon came back: ${(error as Error).message}`,
      );
    }
    this.#take(machine);
    const state = await machine.state();
    if (state === "ended") return;
    if (state !== this.record.state) this.#move(state, null);
    if (state === "running") await this.#reconnect(machine);
  }

  /** Starts an exec. The same id twice answers with the first. `watch` gets it before it starts, so that no output is missed. */
  async exec(params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const known = params.id === undefined ? undefined : this.execs.get(params.id);
    if (known) return known;
    return this.use("exec", (agent) => this.#start(agent, params, watch));
  }

  async #start(agent: Agent, params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const { id = randomId(), timeoutMs, capture = "never", mask = [], ci = null, ...rest } = params;
    const { checkpoint = false, ...request } = rest;
    const { defaults } = this.record;
    await this.#learnSecrets(request.env ?? {}, mask);
    const hide = (text: string): string => this.hide(text);
    const record: ExecRecord = {
      id,
      sandbox: this.id,
      argv: request.argv.map(hide),
      envNames: Object.keys(request.env ?? {}),
      cwd: request.cwd ?? null,
      user: request.user ?? null,
      tty: request.tty !== undefined,
      state: "starting",
      startedAt: new Date().toISOString(),
      endedAt: null,
      deadline: timeoutMs === undefined ? null : new Date(Date.now() + timeoutMs).toISOString(),
      timedOut: false,
      exit: null,
      capture,
      captured: null,
      masked: [...mask],
      ci,
      checkpoint: checkpoint && capture !== "never",
      error: null,
    };
    const exec = await Exec.create(this.#execDir, record, this.#secrets);
    this.execs.set(id, exec);
    this.#follow(exec);
    if (capture !== "never") {
      this.#capturer?.prepare(this);
      await exec.keepRequest(requestOf(record, request.env ?? {}, timeoutMs, hide));
      if (record.checkpoint) await this.#checkpoint(exec);
    }
    void this.#dropOldExecs();
    watch?.(exec);
    await exec.start(agent, {
      ...request,
      env: { ...defaults.env, ...request.env },
      cwd: request.cwd ?? defaults.workdir,
      user: request.user ?? defaults.user,
      ...(holdsCrashes(capture) ? { holdCrashes: true } : {}),
    });
    this.emit("execStarted", exec);
    return exec;
  }

  /** A text without the secret values that the sandbox was told. */
  hide(text: string): string {
    return this.#secrets?.hide(text) ?? text;
  }

  /** Before an exec is told them: nothing that it writes may be kept as it is. */
  async #learnSecrets(env: Readonly<Record<string, string>>, names: readonly string[]): Promise<void> {
    const told = Object.entries(env).filter(([name]) => names.includes(name));
    if (told.length === 0) return;
    this.record.secrets = sealSecrets(this.record.secrets, Object.fromEntries(told));
    this.#secrets = SecretMatcher.of(this.record.secrets);
    await this.persist();
  }

  /** Whether nothing is left of it. */
  get isGone(): boolean {
    return this.#gone;
  }

  /** Whether somebody used it since this was last asked, or does now: an attached client, a request. */
  takeUse(): boolean {
    const used = this.#users > 0 || this.#usedSince;
    this.#usedSince = false;
    return used;
  }

  /** Somebody uses it: it is not idle until they let go. Returns how they do. */
  hold(): () => void {
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
    const letGo = this.hold();
    try {
      await this.wake();
      checkVerb(verb, this.record);
      return await work(this.#needAgentNow());
    } catch (error) {
      throw await this.#explain(error);
    } finally {
      letGo();
    }
  }

  async pause(): Promise<void> {
    checkVerb("pause", this.record);
    await this.#inTurn(async () => {
      checkVerb("pause", this.record);
      await this.#needMachine().pause();
      checkVerb("pause", this.record);
      await this.#become("paused", null);
    });
  }

  /** Pauses it for `reason`, unless somebody came meanwhile. */
  async pauseIfUnused(reason: string): Promise<void> {
    await this.#inTurn(async () => {
      if (this.record.state !== "running" || this.#users > 0) return;
      await this.#needMachine().pause();
      if (this.record.state === "running") await this.#become("paused", reason);
    });
  }

  async resume(): Promise<void> {
    checkVerb("resume", this.record);
    await this.#inTurn(() => (this.record.frozen ? this.#thawAgain(this.record.frozen) : this.#resume()));
  }

  /**
   * Lets a paused sandbox go on, also one that is being paused, and thaws a frozen one; nothing to do for others. Throws `no-space` when a full
   * disk holds it, `no-capacity` when there is no room for a machine.
   */
  async wake(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.record.frozen) return this.#thawAgain(this.record.frozen);
      if (this.record.state !== "paused") return;
      const { name, heldBy, reason } = this.record;
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
      if (state !== "paused" || heldBy !== null || this.#users > 0 || this.#takes.size > 0)
        throw new EngineError("conflict", `sandbox ${name} is ${state}, and in use`);
    };
    await this.#inTurn(async () => {
      checkUnused();
      this.#hangUp();
      const { snapshot, difference } = await take();
      checkUnused();
      this.record.frozen = { difference };
      this.record.snapshot = snapshot;
      if (difference === null) this.record.ownSnapshot = snapshot;
      this.#move("stopped", "frozen after a long pause; a request wakes it");
      await this.persist();
      await this.#machine?.stop();
      await this.#clearMachine();
    });
  }

  /** Throws `conflict` when the sandbox is not in a state to be frozen or forked. */
  allowLive(verb: "freeze" | "fork"): void {
    checkVerb(verb, this.record);
  }

  /** Makes a snapshot's files of the machine, which goes on. */
  async freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    this.allowLive("freeze");
    return this.#needMachine().freezeLive(spec, signal);
  }

  /** Writes how the machine differs from its snapshot; it goes on. */
  async takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference> {
    this.allowLive("fork");
    return this.#needMachine().takeDifference(dir, options);
  }

  /** Processes and listeners, as the guest tells them; nothing when it does not in time. */
  async lookInside(): Promise<Pick<CaseFile, "processes" | "listening">> {
    const nothing = { processes: [], listening: [] };
    if (!this.#agent || this.record.state !== "running") return nothing;
    const late = new Promise<typeof nothing>((resolve) =>
      setTimeout(resolve, LOOK_DEADLINE_MS, nothing).unref(),
    );
    const told = this.#agent.processes().then(({ processes, listening }) => ({ processes, listening }));
    return Promise.race([told.catch(() => nothing), late]);
  }

  /** Captures what runs and is to be captured when it is cancelled: its client is gone. */
  async captureCancelled(): Promise<void> {
    if (this.record.state === "running") await this.#captureAll({ trigger: "cancel", exit: null });
  }

  /** Forgets one that has ended, with its log. */
  async dropExec(exec: Exec): Promise<void> {
    this.execs.delete(exec.record.id);
    await exec.remove();
  }

  async stats(): Promise<{ pssBytes: number; rssBytes: number; cpuMs: number }> {
    checkVerb("stats", this.record);
    return this.#needMachine().stats();
  }

  /** Ends the machine and removes all that is on disk. Whoever asks again waits for the same end. */
  remove(why?: EngineError): Promise<void> {
    this.#removing ??= this.#remove(
      why ?? new EngineError("cancelled", `sandbox ${this.record.name} was removed`),
    );
    return this.#removing;
  }

  async #resume(): Promise<void> {
    checkVerb("resume", this.record);
    const machine = this.#needMachine();
    this.record.heldBy = null;
    try {
      await machine.resume();
      if (!this.#agent) await this.#reconnect(machine);
    } catch (error) {
      throw await this.#explain(error);
    }
    checkVerb("resume", this.record);
    if (this.#heldAgain()) throw new EngineError("no-space", String(this.record.reason));
    await this.#become("running", null);
  }

  /** The same machine again, from what was frozen of it: its execs go on. When it can't be, it stays frozen. */
  async #thawAgain(frozen: Frozen): Promise<void> {
    const difference = frozenDifference(this.dir, frozen);
    const abort = new AbortController();
    this.#waking = abort;
    try {
      checkVerb("resume", this.record);
      await this.onWake?.((files) => this.#thawFrozen(frozen, files, abort.signal), abort.signal);
    } finally {
      this.#waking = null;
    }
    if (difference) this.#runner.forget(difference.id);
    await clearFrozen(this.dir);
    const agent = this.#agent;
    if (agent) await Promise.all([...this.execs.values()].map((exec) => exec.resume(agent)));
  }

  async #thawFrozen(frozen: Frozen, snapshot: SnapshotFiles, signal: AbortSignal): Promise<void> {
    const difference = frozenDifference(this.dir, frozen);
    const place = { id: this.id, stateDir: this.dir };
    const machine = await this.#runner.thaw({ ...place, snapshot, difference }, signal);
    try {
      this.#take(machine);
      await this.#greet(machine, { ...this.#identity(), deadlineMs: ADOPT_DEADLINE_MS, signal });
      signal.throwIfAborted();
    } catch (error) {
      this.#hangUp();
      await machine.stop();
      await this.#clearMachine();
      throw error;
    }
    this.#move("running", null);
    this.record.frozen = null;
    await this.persist();
  }

  /** What its machine left on this host, be it half made or half gone. */
  async #clearMachine(): Promise<void> {
    this.#machine = null;
    await this.#runner.clear({ id: this.id, stateDir: this.dir });
  }

  #hangUp(): void {
    const agent = this.#agent;
    this.#agent = null;
    agent?.close();
    for (const exec of this.execs.values()) exec.detach();
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
    await Promise.allSettled(this.#takes);
    this.#move("removed", reason.message);
    await this.#write().catch(() => {});
    if (this.#waking) {
      this.#waking.abort(reason);
      await this.#turn;
    }
    await Promise.all([...this.execs.values()].map((exec) => exec.fail(reason)));
    this.#agent?.close();
    // Out of sight first: a crash from here on leaves a folder that the next start clears.
    const grave = join(dirname(this.dir), `.${basename(this.dir)}`);
    if (this.#machine) await this.#machine.stop();
    else await this.#runner.clear({ id: this.id, stateDir: this.dir });
    await Promise.all([...this.execs.values()].map((exec) => exec.close()));
    await rename(this.dir, grave).catch(() => {});
    await rm(grave, { recursive: true, force: true });
    this.#gone = true;
    this.emit("gone");
  }

  /** The daemon leaves; the machine goes on. */
  async letGo(): Promise<void> {
    for (const exec of this.execs.values()) await exec.close();
    this.#agent?.close();
    this.#machine?.detach();
  }

  async persist(): Promise<void> {
    if (!this.#removing) await this.#write();
  }

  async #write(): Promise<void> {
    await writeWhole(join(this.dir, "record.json"), `${JSON.stringify(this.record)}\n`);
  }

  get #execDir(): string {
    return join(this.dir, "execs");
  }

  #take(machine: Machine): void {
    this.#machine = machine;
    this.record.machine = machine.record;
    machine.onEnd((end) => void this.#ended(end));
  }

  async #greet(machine: Machine, options: Parameters<typeof Agent.connect>[1]): Promise<void> {
    const agent = await Agent.connect(await machine.connect(options.signal), options);
    this.#agent = agent;
    void agent.session.ended.then((why) => this.#sessionOver(agent, why));
  }

  async #reconnect(machine: Machine): Promise<void> {
    try {
      await this.#greet(machine, { deadlineMs: ADOPT_DEADLINE_MS });
      const agent = this.#needAgentNow();
      await Promise.all([...this.execs.values()].map((exec) => exec.resume(agent)));
    } catch (error) {
      if (!this.#removing) await this.#end("failed", (error as Error).message);
    }
  }

  /** A guest that breaks the protocol is ended; a connection that merely closed is made again. */
  async #sessionOver(agent: Agent, why: SessionError): Promise<void> {
    if (this.#agent !== agent) return;
    this.#agent = null;
    for (const exec of this.execs.values()) exec.detach();
    if (this.record.state !== "running") return;
    const machine = this.#machine;
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
        await this.#captureAll({ trigger: "panic", exit: null });
        const lines = await this.#consoleLines();
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
    this.#agent?.close();
    this.#agent = null;
    const error = new EngineError("machine-ended", `sandbox ${this.record.name} is ${state}: ${reason}`);
    await Promise.all([...this.execs.values()].map((exec) => exec.fail(error)));
    await this.#machine?.stop().catch(() => {});
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

  /** Tells its end, and has it captured as it asks. */
  #follow(exec: Exec): void {
    if (exec.isOver) return;
    exec.once("ended", () => this.emit("execEnded", exec));
    const capturer = this.#capturer;
    if (!capturer) return;
    exec.onEnding = async (ending) => {
      const console = ending.trigger === "panic" ? await this.#consoleLines() : [];
      const { id, changedBytes, pauseMs } = await this.#whileTaking(
        capturer.take(this, { ending, exec, console }),
      );
      return { id, changedBytes, pauseMs };
    };
    exec.onCrash = (crash) =>
      this.#whileTaking(
        capturer.takeProvisional(this, { ending: { trigger: "signal", exit: null }, exec, crash }),
      );
  }

  async #checkpoint(exec: Exec): Promise<void> {
    try {
      await this.#capturer?.checkpoint(this);
    } catch (error) {
      await exec.fail(
        error instanceof EngineError ? error : new EngineError("internal", (error as Error).message),
      );
      throw error;
    }
  }

  async #whileTaking<T>(work: Promise<T>): Promise<T> {
    this.#takes.add(work);
    try {
      return await work;
    } finally {
      this.#takes.delete(work);
    }
  }

  async #captureAll(ending: Ending): Promise<void> {
    const alive = [...this.execs.values()].filter((exec) => !exec.isOver);
    await Promise.all(alive.map((exec) => exec.capture(ending)));
  }

  async #consoleLines(): Promise<string[]> {
    const text = await this.#machine?.console().catch(() => "");
    return (text ?? "").trimEnd().split("\n").slice(-CONSOLE_LINES);
  }

  /** What a request that failed under way failed of, when that is the end of its machine. */
  async #explain(error: unknown): Promise<unknown> {
    const broken =
      (error instanceof SessionError && error.kind === "closed") ||
      (error instanceof RunnerError && error.code === "machine-gone");
    if (broken && !isOver(this.record.state))
      await once(this, "transition", { signal: AbortSignal.timeout(END_NEWS_MS) }).catch(() => {});
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

  async #restoreExecs(): Promise<void> {
    for (const name of await readdir(this.#execDir).catch(() => [])) {
      if (!name.endsWith(".json") || name.startsWith(".")) continue;
      const record = await readRecord(join(this.#execDir, name), execRecord);
      if (!record) continue;
      const exec = await Exec.restore(this.#execDir, record, this.#secrets);
      this.execs.set(record.id, exec);
      this.#follow(exec);
    }
  }

  async #dropOldExecs(): Promise<void> {
    const over = [...this.execs.values()].filter((exec) => exec.isOver);
    for (const exec of over.slice(0, Math.max(0, over.length - KEPT_EXECS))) await this.dropExec(exec);
  }

  #needAgentNow(): Agent {
    if (!this.#agent)
      throw new EngineError("conflict", `the agent of sandbox ${this.record.name} is not reachable now`);
    return this.#agent;
  }

  #needMachine(): Machine {
    if (!this.#machine)
      throw new EngineError(
        "conflict",
        `sandbox ${this.record.name} has no machine: it is ${this.record.state}`,
      );
    return this.#machine;
  }
}

/** Ten characters of an alphabet without look-alikes. */
export function randomId(): string {
  const alphabet = "23456789abcdefghjkmnpqrstuvwxyz";
  return [...randomBytes(10)].map((byte) => alphabet[byte % alphabet.length]).join("");
}

export async function makeSandboxDir(dir: string): Promise<void> {
  await mkdir(dir, { mode: 0o711 });
  await mkdir(join(dir, "execs"), { mode: 0o700 });
}

/** Secret values are left out: only the process has them. */
function requestOf(
  { argv, cwd, user, tty, masked }: ExecRecord,
  env: Readonly<Record<string, string>>,
  timeoutMs: number | undefined,
  hide: (text: string) => string,
): RecordedRequest {
  const told = Object.entries(env)
    .filter(([name]) => !masked.includes(name))
    .map(([name, value]) => [name, hide(value)]);
  return { argv, env: Object.fromEntries(told), cwd, user, tty, timeoutMs: timeoutMs ?? null };
}
