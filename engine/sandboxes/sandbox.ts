/** A sandbox: what may be asked of it, its state, and the order in which it changes. States and what they allow: state.ts. */

import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import type { SandboxState } from "../../api/closed-lists.ts";
import type { GuestReport } from "../../api/guest.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { SessionError } from "../../runners/agent/errors.ts";
import type {
  Difference,
  DifferenceFiles,
  DifferenceOptions,
  DiskWriting,
  Isolation,
  LiveFreeze,
  LiveFreezeSpec,
  MachineEnd,
  MachineStats,
  Runner,
  SnapshotFiles,
} from "../../runners/runner.ts";
import { isNoSpace } from "../as-engine-error.ts";
import { mountCache, syncCache } from "../caches/inside.ts";
import { needCapabilities } from "../capabilities.ts";
import { EngineError } from "../errors.ts";
import type { Exec } from "../execs/exec.ts";
import type { HostNetwork } from "../network/host.ts";
import type { Suspect } from "../state/quarantine.ts";
import { writeRecord } from "../state/record.ts";
import { exercise } from "../templates/exercise.ts";
import { runOnThaw } from "../templates/on-thaw.ts";
import { part } from "../tracing.ts";
import { CaptureHooks } from "./capture-hooks.ts";
import type { Capturer } from "./capturer.ts";
import { forgetChange, noteChange } from "./changes.ts";
import { recordPath } from "./dir.ts";
import { endState, heldReason } from "./end-state.ts";
import { type ExecParams, ExecTable } from "./exec-table.ts";
import { explainFailure } from "./explain.ts";
import { Forwards } from "./forwards.ts";
import { clearFrozen } from "./frozen.ts";
import { FrozenMachine, type KeptMachine, type OnWake } from "./frozen-machine.ts";
import type { HostSocketRules } from "./host-socket.ts";
import { identityOf, stepClock } from "./identity.ts";
import { consoleLines, inspectGuest, syncGuest } from "./inspect.ts";
import { ListeningPorts, type PortsChange } from "./listening-ports.ts";
import { MachineLink } from "./machine-link.ts";
import { SandboxNetwork } from "./network.ts";
import { Reach } from "./reach.ts";
import { type SandboxRecord, sandboxKind } from "./record.ts";
import { Removal } from "./removal.ts";
import { checkTransition, checkVerb, isLive, isOver, ownsMachine, type Verb } from "./state.ts";
import type { Subject } from "./subject.ts";
import { UseCount } from "./use-count.ts";

const HELLO_DEADLINE_MS = 15_000;
/** A guest that was frozen in the middle of something may have a backlog to write first. */
const WAKE_DEADLINE_MS = 20_000;
const CONSOLE_TAIL_CHARS = 2000;
interface SandboxEvents {
  transition: [change: { from: SandboxState; to: SandboxState; reason: string | null }];
  /** Its machine ended or its agent broke the protocol; the record says why. */
  ended: [];
  /** It has written as much as `watchDiskGrowth` allowed. */
  diskGrew: [];
  /** It could not be removed; that is tried again. */
  delayed: [reason: string];
  /** It was removed, and nothing is left. */
  gone: [];
  /** Its machine was ended, and is still there. */
  lingers: [];
  /** No machine of it is left on the host. */
  cleared: [];
  /** Programs in it began or ceased to listen. */
  portsChanged: [PortsChange];
  execStarted: [Exec];
  execEnded: [Exec];
}

export interface ThawOptions {
  signal?: AbortSignal;
  /** What a machine of the snapshot had become. */
  difference?: DifferenceFiles | undefined;
  /** It was frozen while it ran, so its agent may be in the middle of a frame. */
  frozenLive?: boolean;
  /** A layer with cached folders, which its guest mounts before anything else. */
  cache?: string | undefined;
  /** Nobody waits for it. */
  background?: boolean;
  /** It is a new clone: its template's `onThaw` commands run. */
  clone?: boolean;
}

/** What a sandbox needs of its host. */
export interface SandboxContext {
  capturer?: Capturer | null;
  hostNetwork?: HostNetwork;
  /** Default: its forwards make no unix sockets. */
  hostSockets?: HostSocketRules;
}

const NO_SOCKETS: HostSocketRules = { refused: "no unix sockets are made here", ownFolders: [] };

export class Sandbox extends EventEmitter<SandboxEvents> implements Subject {
  readonly record: SandboxRecord;
  readonly dir: string;
  readonly network: SandboxNetwork;
  readonly forwards: Forwards;
  rejectDuplicate: ((fingerprint: string) => void) | null = null;
  onWake: OnWake | null = null;
  /** Called once when nothing is left of it, before those who wait for its removal go on. */
  onGone: ((why: EngineError) => Promise<void>) | null = null;
  readonly #runner: Runner;
  readonly #link: MachineLink;
  readonly #execs: ExecTable;
  readonly #captures: CaptureHooks;
  readonly #frozen: FrozenMachine;
  readonly #reach: Reach;
  #removal: Removal | null = null;
  /** null: it has none of an earlier daemon. */
  #adoption: { begin: () => Promise<void>; over: Promise<void> | null } | null = null;
  readonly #listening = new ListeningPorts((change) => this.emit("portsChanged", change));
  readonly #uses = new UseCount();
  #gone = false;
  /** Its record could not be written for want of room. */
  #unsaved = false;
  /** Pauses and wake-ups, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Changes of its record that clients ask for, one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(
    dir: string,
    record: SandboxRecord,
    runner: Runner,
    { capturer = null, hostNetwork, hostSockets = NO_SOCKETS }: SandboxContext = {},
  ) {
    super();
    this.setMaxListeners(0);
    this.dir = dir;
    this.record = record;
    this.#runner = runner;
    this.network = new SandboxNetwork(record, dir, hostNetwork);
    this.forwards = new Forwards({
      record,
      sockets: hostSockets,
      dial: (to) => this.dial(to),
      acquireUse: () => this.acquireUse(),
    });
    const persist = () => this.persist();
    this.#captures = new CaptureHooks(this, capturer);
    this.#execs = new ExecTable({
      ...{ record, dir, persist },
      follow: (exec) => this.#follow(exec),
      prepareCapture: (exec) => this.#captures.prepare(exec),
    });
    this.#link = new MachineLink(runner, {
      ...{ record, dir },
      ended: (end) => void this.#ended(end),
      connected: (agent) => {
        this.network.serve(agent);
        this.#listening.follow(agent);
      },
      lost: (why) => void this.#sessionLost(why),
      grew: () => this.emit("diskGrew"),
      lingers: (why) => this.#lingers(why),
      cleared: () => this.#lingers(null),
    });
    this.#reach = new Reach(
      {
        record,
        reached: (state) => this.#reached(state),
        unreached: (reason) => this.#unreached(reason),
        failed: (reason) => this.#end("failed", reason),
        ended: (end) => this.#ended(end),
      },
      { link: this.#link, execs: this.#execs },
    );
    this.#frozen = new FrozenMachine(
      {
        ...{ record, dir, persist },
        greet: (machine, signal) =>
          this.#link.connect(machine, { ...identityOf(record), deadlineMs: WAKE_DEADLINE_MS, signal }),
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
    await this.#make(snapshot, options);
    this.#begin();
  }

  /** Makes the machine as `thaw` does, but at low priority, runs a command in it, and pauses it until `claim`: it is nobody's so far, and `creating`. */
  async prepare(snapshot: SnapshotFiles, options: ThawOptions = {}): Promise<void> {
    await this.#make(snapshot, { ...options, background: true });
    await this.#orStop(async () => {
      const machine = this.#link.needMachine(this.record);
      await exercise(this.#link.needAgent(this.record), this.record.defaults, options.signal);
      await machine.pause();
      // Now, when it costs nobody anything, and not when it is claimed.
      await machine.foreground();
    });
  }

  /** Lets a prepared one go on as what its record says by now. Throws when it can't; its machine is the caller's to end. */
  async claim({ signal, clone }: Pick<ThawOptions, "signal" | "clone"> = {}): Promise<void> {
    const machine = this.#link.needMachine(this.record);
    // The time before does not count as idle.
    this.#uses.acquire()();
    this.network.refresh();
    await part("resume", () => machine.resume());
    this.#link.hangUp();
    const greeting = {
      ...identityOf(this.record),
      // The last that it was asked was answered before it was paused.
      guestIsBetweenFrames: true,
      deadlineMs: HELLO_DEADLINE_MS,
      ...(signal ? { signal } : {}),
    };
    await part("greet", () => this.#link.connect(machine, greeting));
    if (clone === true) await this.#runOnThaw(signal);
    this.#begin();
  }

  async #make(snapshot: SnapshotFiles, options: ThawOptions): Promise<void> {
    const { signal, difference, cache, background } = options;
    const files = { snapshot, difference, cache, background };
    const machine = await part("make machine", () => this.#link.thaw(files, signal));
    const greeting = {
      ...identityOf(this.record),
      guestIsBetweenFrames: options.frozenLive !== true,
      deadlineMs: HELLO_DEADLINE_MS,
      ...(signal ? { signal } : {}),
    };
    try {
      await part("greet", () => this.#link.connect(machine, greeting));
    } catch (error) {
      const text = await machine.console().catch(() => "");
      await this.#link.stop();
      throw Object.assign(error as Error, { console: text.slice(-CONSOLE_TAIL_CHARS) });
    }
    await this.#orStop(async () => {
      const agent = this.#link.needAgent(this.record);
      const { defaults } = this.record;
      const paths = this.record.cache?.paths ?? [];
      if (cache !== undefined) await mountCache(agent, { paths, user: defaults.user, signal });
      if (options.clone === true) await this.#runOnThaw(signal);
    });
  }

  async #runOnThaw(signal: AbortSignal | undefined): Promise<void> {
    const { defaults } = this.record;
    const agent = this.#link.needAgent(this.record);
    await part("onThaw", () => runOnThaw(agent, defaults, signal));
  }

  /** Its machine ends when the work fails. */
  async #orStop(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#link.stop();
      throw error;
    }
  }

  #begin(): void {
    this.#move("running", null);
    // Its first command waits for that, and nobody else.
    void this.#trust(this.#link.needAgent(this.record)).catch(() => {});
  }

  /** Copies its cached folders, as they are now, into the new file `target`. */
  async saveCache(target: string, writing: DiskWriting): Promise<void> {
    await this.use("exec", (agent) => syncCache(agent, writing.signal));
    await this.#link.needMachine(this.record).saveCache(target, writing);
  }

  /** Reads back what an earlier daemon wrote of its execs. Its machine is not asked before `adopt`. */
  async restore(): Promise<void> {
    this.#adoption = { begin: () => this.#adopt(), over: null };
    this.network.inherit();
    await this.#execs.restore();
  }

  /** Takes up the machine of an earlier daemon. Never rejects: a dead one is `failed`, one that does not answer `unresponsive`. */
  async adopt(): Promise<void> {
    const adoption = this.#adoption;
    if (!adoption) return;
    adoption.over ??= adoption.begin();
    await adoption.over;
  }

  async #adopt(): Promise<void> {
    // Before its machine may add to it.
    await this.network.ready();
    try {
      if (this.record.frozen || this.record.lingers !== null) await this.#link.clear();
      else await clearFrozen(this.dir);
    } catch (error) {
      // What it left behind is cleared with it.
      this.record.reason ??= `not all of its last machine could be cleared: ${(error as Error).message}`;
    }
    const ranBefore = this.record.state === "running";
    if (this.record.machine !== null && isLive(this.record.state)) await this.#reach.try();
    this.#adoption = null;
    // Paused by a daemon that was killed before it could note that, for want of time or of room on the disk: nobody else lets it go on.
    if (ranBefore && this.record.heldBy === null && this.record.state === "paused")
      await this.#inTurn(() => this.#resume()).catch(() => {});
  }

  /** Starts an exec. The same id twice answers with the first. `watch` gets it before it starts, so that no output is missed. */
  async exec(params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const known = params.id === undefined ? undefined : this.execs.get(params.id);
    await known?.startSettled();
    if (known && !known.neverStarted) return known;
    if (known) await this.#execs.drop(known);
    const captured = params.capture !== undefined && params.capture !== "never";
    needCapabilities(this.#runner, "run this command", {
      pty: params.tty !== undefined,
      liveFreeze: captured,
    });
    return this.use("exec", async (agent) => {
      await this.#trust(agent);
      return this.#execs.start(agent, params, watch);
    });
  }

  hide(text: string): string {
    return this.#execs.hide(text);
  }

  /** Whether it was used since this was last asked, or is used now: by an attached client or a request. */
  takeUse(): boolean {
    return this.#uses.take();
  }

  /** Its record says that it reaches something else now. */
  async networkChanged(): Promise<void> {
    this.network.refresh();
    // What fails is told to the next command.
    if (this.record.state === "running" && this.#link.agent)
      await this.#trust(this.#link.agent).catch(() => {});
  }

  /** Its guest trusts the authorities of its host, if it reaches anything. */
  async #trust(agent: Agent): Promise<void> {
    if (await this.network.trust(agent)) await this.persistSoon();
  }

  /** Keeps it from being idle. Call the result to release. */
  acquireUse(): () => void {
    return this.#uses.acquire();
  }

  /**
   * Does something with its agent; a paused sandbox is woken first. Throws `conflict` when its state does not allow it, `machine-ended`
   * when it ends meanwhile.
   */
  async use<T>(verb: Verb, work: (agent: Agent) => Promise<T>): Promise<T> {
    await this.adopt();
    checkVerb(verb, this.record);
    const release = this.acquireUse();
    try {
      await this.wake();
      checkVerb(verb, this.record);
      return await work(this.#link.needAgent(this.record));
    } catch (error) {
      throw await this.explain(error);
    } finally {
      release();
    }
  }

  /** Does the work of a request. What fails because the sandbox ended or was removed meanwhile fails with that, whatever failed of it first. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const { state } = this.record;
    try {
      return await work();
    } catch (error) {
      if (isOver(state) && this.record.state === state) throw error;
      throw await this.explain(error);
    }
  }

  /** Ports that programs in it listen at, as it last told; none when it has no machine. */
  get listening(): readonly number[] {
    return isLive(this.record.state) || this.record.frozen ? this.#listening.ports : [];
  }

  /** A connection to a port in it, or to a unix socket's path; it is woken first. Throws as `use`. */
  dial(to: number | string): Promise<Duplex> {
    return this.use("exec", (agent) => agent.dial(typeof to === "number" ? { port: to } : { path: to }));
  }

  async pause(): Promise<void> {
    needCapabilities(this.#runner, "pause", { pause: true });
    await this.adopt();
    checkVerb("pause", this.record);
    await this.#inTurn(async () => {
      checkVerb("pause", this.record);
      await this.#link.needMachine(this.record).pause();
      checkVerb("pause", this.record);
      this.#move("paused", null);
      try {
        await this.persist();
      } catch (error) {
        // The next daemon would let it go on: nobody is told that it stands still.
        await this.#resume();
        throw error;
      }
    });
  }

  /** Since when nobody uses it and it runs no command, by `performance.now`; null: it is busy, or ends with its client. */
  get idleSince(): number | null {
    const { leased, request } = this.record;
    const isAwaited = leased || request?.answered === false;
    if (isAwaited || this.#captures.busy) return null;
    for (const exec of this.execs.values()) if (!exec.isOver) return null;
    return this.#uses.unusedSince;
  }

  /** Pauses it for `reason`, unless somebody uses it by now. @param idle and unless it runs a command */
  async pauseIfUnused(reason: string, { idle = false } = {}): Promise<void> {
    await this.adopt();
    await this.#inTurn(async () => {
      if (this.record.state !== "running" || this.#uses.inUse) return;
      if (idle && this.idleSince === null) return;
      await this.#link.needMachine(this.record).pause();
      if (this.record.state === "running") await this.#become("paused", reason);
    });
  }

  async resume(): Promise<void> {
    await this.adopt();
    checkVerb("resume", this.record);
    await this.#inTurn(() => this.#resume());
  }

  /**
   * Lets a paused sandbox go on, also one that is being paused, and thaws a frozen one; nothing to do for others. Throws `no-space` when a full
   * disk holds it, `no-capacity` when there is no room for a machine.
   */
  async wake(): Promise<void> {
    await this.adopt();
    await this.#inTurn(async () => {
      const { name, state, frozen, heldBy, reason } = this.record;
      if (!frozen && state !== "paused") return;
      if (heldBy !== null)
        throw new EngineError("no-space", `sandbox ${name} is not woken: ${reason}`, {
          hint: `thaw resume ${name}`,
        });
      await this.#resume();
    });
  }

  /** Ends the machine of a paused sandbox once `take` has kept what it was. Throws `conflict` when somebody uses it. */
  async stopFrozen(take: () => Promise<KeptMachine>, reason: string): Promise<void> {
    await this.adopt();
    const checkUnused = (): void => {
      const { name, state, heldBy, reason } = this.record;
      if (state !== "paused" || heldBy !== null)
        throw new EngineError("conflict", `sandbox ${name} is not stopped: it is ${reason ?? state}`);
      if (this.#uses.inUse || this.#captures.busy)
        throw new EngineError("conflict", `sandbox ${name} is not stopped: a client is attached to it`, {
          hint: `to remove it anyway: thaw rm ${name}`,
        });
    };
    await this.#inTurn(() => this.#frozen.freeze(take, { checkUnused, reason }));
  }

  /** Emits `diskGrew` once it has written that much more. Nothing happens for a sandbox without a machine. */
  async watchDiskGrowth(bytes: number): Promise<void> {
    await this.#link.machine?.watchDiskGrowth(bytes);
  }

  /** Pauses it because there is no room for what it writes. `release` lets it go on. */
  async hold(by: "disk-room" | "disk-limit", why: string): Promise<void> {
    await this.#inTurn(async () => {
      if (this.record.state !== "running") return;
      await this.#link.needMachine(this.record).pause();
      if (this.record.state !== "running") return;
      this.record.heldBy = by;
      const cure = "it goes on by itself when there is room: thaw rm, thaw prune";
      await this.#become("paused", `${why}; ${cure}`);
    });
  }

  /** Lets it go on when it was held for want of room. */
  async release(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.record.state === "paused" && this.record.heldBy !== null) await this.#resume();
    });
  }

  allowLive(verb: "freeze" | "fork"): void {
    checkVerb(verb, this.record);
  }

  async freezeLive(spec: LiveFreezeSpec, signal?: AbortSignal): Promise<LiveFreeze> {
    await this.adopt();
    this.allowLive("freeze");
    return this.#link.needMachine(this.record).freezeLive(spec, signal);
  }

  async takeDifference(dir: string, options?: DifferenceOptions): Promise<Difference> {
    await this.adopt();
    this.allowLive("fork");
    return this.#link.needMachine(this.record).takeDifference(dir, options);
  }

  async whyNoDifference(): Promise<string | null> {
    await this.adopt();
    return this.#link.needMachine(this.record).whyNoDifference();
  }

  syncGuest(): Promise<boolean> {
    return syncGuest(this.#agentToAsk, this.isolation);
  }

  inspectGuest(): Promise<GuestReport> {
    return inspectGuest(this.#agentToAsk, this.isolation);
  }

  get #agentToAsk(): Agent | null {
    return this.record.state === "running" ? this.#link.agent : null;
  }

  consoleLines(): Promise<string[]> {
    return consoleLines(this.#link.machine);
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

  /**
   * Sets the guest's clock to the host's: it stood still with the machine, or the host's was set. An exact replay keeps its own.
   * Throws when the agent does not answer.
   */
  async stepClock(): Promise<void> {
    const { agent } = this.#link;
    if (agent && this.record.state === "running" && !this.record.replay?.exact) await stepClock(agent);
  }

  /**
   * Ends the machine and removes all that is on disk. Every caller waits for the same try. Rejects when it fails: it is `removing` then, and
   * is tried again.
   */
  remove(why?: EngineError): Promise<void> {
    this.#removal ??= new Removal(
      {
        ...{ name: this.record.name, dir: this.dir },
        begin: () => this.#beginRemoval(),
        endMachine: (reason) => this.#endForGood(reason),
        delayed: (reason) => {
          this.record.reason = reason;
          void this.#write().catch(() => {});
          this.emit("delayed", reason);
        },
        done: async (reason) => {
          this.#move("removed", reason.message);
          await this.onGone?.(reason);
          this.#gone = true;
          this.emit("gone");
        },
      },
      why ?? new EngineError("cancelled", `sandbox ${this.record.name} was removed`),
    );
    return this.#removal.try();
  }

  /** The daemon leaves; the machine goes on. */
  async detach(): Promise<void> {
    this.#removal?.leave();
    this.forwards.closeAll();
    this.#reach.stop();
    await Promise.all([this.#link.detach(), this.#execs.close()]);
  }

  /** Writes its record: what a client is told of it must be on disk. Throws what the disk says. */
  async persist(): Promise<void> {
    if (this.#removal) return;
    await this.#write();
    this.#unsaved = false;
  }

  /**
   * Makes a change that a client asked for: it is on disk when this resolves, and undone when it rejects. One after the other: the undoing
   * of one takes no other with it.
   * @param apply throws, or changes the record and returns how to undo that
   * @param request noted with the change
   */
  change(apply: () => () => void, request?: string): Promise<void> {
    const changed = this.#changing.then(async () => {
      const undo = apply();
      noteChange(this.record, request);
      try {
        await this.persist();
      } catch (error) {
        forgetChange(this.record, request);
        undo();
        throw error;
      }
    });
    this.#changing = changed.catch(() => {});
    return changed;
  }

  /** As `persist`, but on a full disk later: for what has happened, whether or not it can be noted. The next daemon finds it out. */
  async persistSoon(): Promise<void> {
    try {
      await this.persist();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.#unsaved = true;
    }
  }

  async persistLate(): Promise<void> {
    if (this.#unsaved) await this.persist();
  }

  async #resume(): Promise<void> {
    checkVerb("resume", this.record);
    if (this.record.frozen) return this.#frozen.wake(this.record.frozen, this.onWake);
    const machine = this.#link.needMachine(this.record);
    this.record.heldBy = null;
    try {
      await machine.resume();
      if (this.#heldAgain()) throw new EngineError("no-space", String(this.record.reason));
      if (this.#link.agent) await this.#reached("running");
      else await this.#reach.try();
      // The guest's clock stood still. Its commands are to see the right time.
      await this.stepClock();
    } catch (error) {
      throw await this.explain(error);
    }
    const { name, state, reason } = this.record;
    if (this.#heldAgain()) throw new EngineError("no-space", String(reason));
    if (state !== "running")
      throw new EngineError("conflict", `sandbox ${name} did not resume: it is ${state}: ${reason}`);
  }

  /** Whether the disk was still full when it went on. */
  #heldAgain(): boolean {
    return this.record.heldBy !== null;
  }

  async #beginRemoval(): Promise<void> {
    this.forwards.closeAll();
    await this.#captures.settled();
    this.#reach.stop();
    if (this.record.state !== "removing") this.#move("removing", null);
    await this.#write().catch(() => {});
  }

  async #endForGood(reason: EngineError): Promise<void> {
    if (this.#frozen.abort(reason)) await this.#turn;
    await this.#execs.fail(reason);
    this.#link.close();
    if (this.#link.machine) await this.#link.stop();
    else await this.#link.clear();
    await this.#execs.close();
  }

  async #write(): Promise<void> {
    // A machine does not survive a power loss; what was frozen to disk does.
    const survives = this.record.frozen ? "power-loss" : "daemon";
    await writeRecord(recordPath(this.dir), sandboxKind, this.record, { survives });
  }

  /** A guest that breaks the protocol is ended; a connection that merely closed is made again. */
  async #sessionLost(why: SessionError): Promise<void> {
    this.#execs.detach();
    if (this.record.state === "running") await this.#reach.lost(why);
  }

  async #reached(state: "running" | "paused"): Promise<void> {
    if (isOver(this.record.state)) return;
    if (state !== this.record.state) await this.#become(state, null);
  }

  async #unreached(reason: string): Promise<void> {
    if (isOver(this.record.state)) return;
    await this.#become("unresponsive", `thaw keeps trying to reach it: ${reason}`);
  }

  async #ended(end: MachineEnd): Promise<void> {
    if (isOver(this.record.state)) return;
    if (end.kind === "disk-full" || end.kind === "disk-failed") {
      this.record.heldBy = end.kind;
      return this.#become("paused", heldReason(end, this.record.name));
    }
    if (end.kind === "panicked") await this.#captures.captureAll({ trigger: "panic", exit: null });
    const { state, reason } = endState(end, end.kind === "panicked" ? await this.consoleLines() : []);
    return this.#end(state, reason);
  }

  async #end(state: "stopped" | "failed", reason: string): Promise<void> {
    if (isOver(this.record.state)) return;
    this.#move(state, reason);
    this.#link.hangUp();
    await this.#execs.fail(
      new EngineError("machine-ended", `sandbox ${this.record.name} is ${state}: ${reason}`),
    );
    await this.#link.stop().catch(() => {});
    await this.persistSoon().catch(() => {});
    this.emit("ended");
  }

  /** Whether a machine of it takes room on the host, be it one that was ended and does not die. */
  get takesMachine(): boolean {
    const { state, lingers } = this.record;
    return ownsMachine(state) || lingers !== null;
  }

  #lingers(why: string | null): void {
    const changed = this.record.lingers !== why;
    this.record.lingers = why;
    if (changed) void this.persistSoon().catch(() => {});
    this.emit(why === null ? "cleared" : "lingers");
  }

  async #become(state: "running" | "paused" | "unresponsive", reason: string | null): Promise<void> {
    if (state === "running") this.record.heldBy = null;
    if (state === this.record.state) this.record.reason = reason;
    else this.#move(state, reason);
    await this.persistSoon();
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
    exec.once("started", () => this.emit("execStarted", exec));
    exec.once("ended", () => this.emit("execEnded", exec));
    this.#captures.follow(exec);
  }

  /** Why something failed: `error`, unless it ended or was removed meanwhile. */
  explain(error: unknown): Promise<unknown> {
    const removal = () => this.#removal?.why ?? null;
    const change = (signal: AbortSignal) => once(this, "transition", { signal });
    return explainFailure(error, { record: this.record, removal, change });
  }
}
