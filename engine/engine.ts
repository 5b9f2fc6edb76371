/** The engine: sandboxes, snapshots and templates on one host. Knows machines only through the Runner interface. */
import { readdir, readFile, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Probe, Runner, SnapshotFiles } from "../runners/runner.ts";
import type { Admission } from "./admission.ts";
import { Archive } from "./archive.ts";
import { asEngineError } from "./as-engine-error.ts";
import { Audit } from "./audit.ts";
import { callingAsDaemon } from "./caller.ts";
import type { Captures } from "./captures/captures.ts";
import { openReplay, type Replay } from "./captures/replay.ts";
import { type Rerun, type RerunHost, type RerunOptions, rerun } from "./captures/rerun.ts";
import type { StoredCapture } from "./captures/store.ts";
import { Gate } from "./concurrency.ts";
import { type Config, readConfig } from "./config.ts";
import { EngineError } from "./errors.ts";
import type { EventType } from "./events/event.ts";
import { EventLog } from "./events/log.ts";
import type { Exec } from "./execs/exec.ts";
import { LogBudget } from "./execs/log-budget.ts";
import { clearUnfinished, finished, readRecord, sha256 } from "./files.ts";
import { type Home, openHome } from "./home.ts";
import { Leases } from "./leases.ts";
import type { Clock } from "./lifecycle/clock.ts";
import { Lifecycle } from "./lifecycle/lifecycle.ts";
import { systemClock } from "./lifecycle/system-clock.ts";
import { type Action, type Next, newTimers, type TimerRequest } from "./lifecycle/timers.ts";
import { nearest } from "./nearest.ts";
import { Room } from "./room.ts";
import { type ForkOrigin, forkOrigin } from "./sandboxes/fork.ts";
import { type FrozenSandbox, freezeSandbox } from "./sandboxes/freeze.ts";
import { freezeAndStop } from "./sandboxes/freeze-and-stop.ts";
import { noTimers, type SandboxRecord, sandboxRecord, type Timers } from "./sandboxes/record.ts";
import { makeSandboxDir, randomId, Sandbox } from "./sandboxes/sandbox.ts";
import { checkVerb, isLive, isOver } from "./sandboxes/state.ts";
import type { SealedSecrets } from "./secrets/sealed.ts";
import { shownArgv } from "./secrets/shown-argv.ts";
import { type ExecDefaults, isFrozenLive } from "./snapshots/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshots/store.ts";
import { type ResolveOptions, type SourceRequest, Sources } from "./sources.ts";
import { clearBuild } from "./templates/build.ts";
import type { Recipe } from "./templates/recipe.ts";
import { shippedRecipes } from "./templates/shipped.ts";

/** Output of execs, unless the configuration says otherwise. */
const KEPT_LOGS_MIB = { sandbox: 256, host: 8192 };
/** A run of a rerun waits for room this long. */
const RERUN_WAIT_MS = 600_000;
/** A full freeze of a machine of many gigabytes on a slow disk. */
const FREEZE_DEADLINE_MS = 600_000;

export interface EngineOptions {
  homePath: string;
  runner: Runner;
  /** Folder of the shipped templates. */
  templatesDir: string;
  agentPath: string;
  clock?: Clock;
}

export interface CreateOptions extends ResolveOptions, TimerRequest {
  source: SourceRequest;
  name?: string | undefined;
  labels: Record<string, string>;
  cpus?: number | undefined;
  memoryMib?: number | undefined;
  /** Ends with its client. */
  leased: boolean;
  /** Leased only until its command has ended. */
  keep?: boolean | undefined;
  /** How long to wait in line for room; 0: refuse at once. */
  waitMs?: number | undefined;
}

export interface ForkOptions extends ResolveOptions {
  count: number;
  /** Children are named PREFIX-1, PREFIX-2, …; absent: by their ids. */
  name?: string | undefined;
}

export interface Fork {
  sandboxes: Sandbox[];
  method: ForkOrigin["method"];
  pauseMs: number;
}

export class Engine {
  readonly home: Home;
  readonly runner: Runner;
  readonly snapshots: SnapshotStore;
  readonly sources: Sources;
  readonly captures: Captures;
  readonly archive: Archive;
  readonly leases: Leases;
  readonly audit: Audit;
  readonly events: EventLog;
  readonly config: Config;
  readonly #room: Room;
  readonly #logs: LogBudget;
  readonly #clock: Clock;
  readonly #lifecycle: Lifecycle<Sandbox>;
  /** Sandboxes being made, and how to call that off. */
  readonly #creating = new Map<string, { abort: AbortController; settled: Promise<unknown> }>();
  readonly #templatesDir: string;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #names = new Set<string>();
  readonly #thaws = new Gate(availableParallelism());

  private constructor(home: Home, options: EngineOptions, agentDigest: string) {
    this.home = home;
    this.runner = options.runner;
    this.#templatesDir = options.templatesDir;
    this.leases = new Leases((id) => callingAsDaemon(() => this.#leaseLost(id)));
    this.audit = new Audit(home.audit);
    this.events = EventLog.open(home.events);
    this.config = readConfig(home.config);
    this.#room = new Room(home.root, this.config);
    const { logs = KEPT_LOGS_MIB.host, sandbox } = this.config.limits;
    this.#logs = new LogBudget({
      hostBytes: logs * 2 ** 20,
      sandboxBytes: (sandbox.logs ?? KEPT_LOGS_MIB.sandbox) * 2 ** 20,
    });
    this.archive = new Archive({
      ...{ home, runner: options.runner, room: this.#room, config: this.config },
      ...{ audit: this.audit, events: this.events },
      sandboxes: () => this.sandboxes.map(({ record }) => record),
    });
    this.snapshots = this.archive.snapshots;
    this.captures = this.archive.captures;
    this.sources = new Sources(this.archive.live, options.templatesDir, agentDigest);
    this.#clock = options.clock ?? systemClock;
    this.#lifecycle = new Lifecycle<Sandbox>({
      clock: this.#clock,
      clockFile: home.clock,
      sandboxes: () => this.sandboxes,
      act: (sandbox, action) => this.#actByItself(sandbox, action),
      onJump: (jumpMs) =>
        this.events.append({
          ...{ type: "clock.jumped", target: "clock", name: "clock", sandbox: null },
          details: { jumpMs: Math.round(jumpMs) },
        }),
      able: { pause: this.runner.capabilities.pause, stop: this.runner.capabilities.liveFreeze },
    });
  }

  /** Opens the state folder, clears what was half made, and adopts every machine found. */
  static async open(options: EngineOptions): Promise<Engine> {
    const home = openHome(options.homePath);
    const agentDigest = sha256(await readFile(options.agentPath)).slice(0, 16);
    const engine = new Engine(home, options, agentDigest);
    await engine.#recover();
    engine.#tellDaemon("daemon.started");
    await engine.#lifecycle.start();
    return engine;
  }

  /** Who gets a machine. */
  get admission(): Admission {
    return this.#room.admission;
  }

  /** Those there are; not those that are going. */
  get sandboxes(): Sandbox[] {
    return [...this.#sandboxes.values()].filter(({ record }) => record.state !== "removed");
  }

  /** By id, name or unique prefix of an id. */
  sandbox(reference: string): Sandbox {
    const all = [...this.#sandboxes.values()];
    const exact = all.find(({ record }) => record.id === reference || record.name === reference);
    if (exact) return exact;
    // Every id starts with nothing.
    const matches = reference === "" ? [] : all.filter(({ id }) => id.startsWith(reference));
    if (matches.length === 1 && matches[0]) return matches[0];
    if (matches.length > 1) {
      throw new EngineError(
        "usage",
        `${reference} fits ${matches.length} sandboxes: ${matches.map(({ record }) => record.name).join(", ")}`,
      );
    }
    throw new EngineError("not-found", `no sandbox ${reference}`, {
      hint: nearest(
        reference,
        all.map(({ record }) => record.name),
        "thaw ls",
      ),
    });
  }

  /** Thaws a sandbox; builds what is missing first unless a snapshot was named. On failure nothing is left. */
  async create(options: CreateOptions): Promise<Sandbox> {
    const asked = performance.now();
    const id = randomId();
    const name = options.name ?? (await this.#replayName(options.source.capture)) ?? id;
    const timers = this.#timersFor(name, options);
    this.#claim(name);
    let replay: Replay | undefined;
    try {
      await this.#room.needDisk();
      using _replayed = await this.#holdCapture(options.source.capture);
      replay = await this.#openReplay(options);
      const { snapshot: found, from } = replay
        ? { snapshot: withDefaults(replay.snapshot, replay.defaults), from: replay.capture.id }
        : await this.sources.resolve(options.source, options);
      const snapshot = await this.sources.withResources(found, options, options);
      using _thawed = this.archive.holds.take(snapshot.id);
      const { cpus, memoryMib } = snapshot.manifest.resources;
      const { onProgress, signal, waitMs = 0 } = options;
      await this.admission.admit({ id, name, cpus, memoryMib }, { waitMs, onProgress, signal });
      const named = { id, name, from, asked, timers };
      return await this.#thaws.run(() => this.#thaw(named, snapshot, options, replay?.origin, replay));
    } catch (error) {
      this.#names.delete(name);
      this.admission.free(id);
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    } finally {
      await replay?.origin?.release();
    }
  }

  /** Captures a sandbox by hand; it goes on. */
  async capture(reference: string): Promise<StoredCapture> {
    const sandbox = this.sandbox(reference);
    checkVerb("freeze", sandbox.record);
    try {
      const cause = { ending: { trigger: "manual" as const, exit: null }, exec: null };
      const { id } = await this.captures.take(sandbox, cause);
      this.audit.note("capture create", sandbox.record.name, { capture: id });
      return await this.captures.store.get(id);
    } catch (error) {
      throw asEngineError(error);
    }
  }

  /** Runs a capture's command again from the state just before it. Nothing but captures of new failures is left. */
  async rerun(reference: string, options: RerunOptions): Promise<Rerun> {
    const capture = await this.captures.store.get(reference);
    using _held = this.archive.holds.take(capture.id);
    const secrets = await this.captures.store.secrets(capture.id);
    const { argv, env = {}, count } = options;
    const shown = argv && shownArgv({ argv, env, mask: capture.file.exec?.masked });
    this.audit.note("rerun", capture.id, { count, argv: shown });
    const host: RerunHost = {
      ...this.archive.live,
      captures: this.captures,
      thaw: (name, from, { onProgress, signal }) =>
        this.#thawForRerun(name, { ...from, secrets }, { onProgress, signal }),
      remove: (sandbox) => this.removeById(sandbox.id),
    };
    try {
      return await rerun(host, capture, options);
    } catch (error) {
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    }
  }

  /** Makes a snapshot of a sandbox, which goes on, and names it. */
  async freeze(reference: string, tag: string, options: ResolveOptions): Promise<FrozenSandbox> {
    const sandbox = this.sandbox(reference);
    try {
      await this.#room.needDisk();
      const frozen = await freezeSandbox(this.archive.live, sandbox, options);
      await this.snapshots.tag(frozen.snapshot.id, tag);
      this.audit.note("freeze", sandbox.record.name, { snapshot: frozen.snapshot.id, tag });
      return frozen;
    } catch (error) {
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    }
  }

  /** Children of a sandbox as it is now, all or none. Each has an identity and a disk of its own; their memory is shared. */
  async fork(reference: string, options: ForkOptions): Promise<Fork> {
    const parent = this.sandbox(reference);
    const children = Array.from({ length: options.count }, (_, index) => {
      const id = randomId();
      return { id, name: options.name === undefined ? id : `${options.name}-${index + 1}` };
    });
    const claimed: string[] = [];
    const asked = performance.now();
    let origin: ForkOrigin | undefined;
    try {
      for (const { name } of children) {
        this.#claim(name);
        claimed.push(name);
      }
      await this.#room.needDisk();
      const from = await forkOrigin(this.archive.live, parent, options);
      origin = from;
      const { labels } = parent.record;
      const made = await Promise.allSettled(
        children.map((child) =>
          this.#thaws.run(async () => {
            const timers = this.#timersFor(child.name, {});
            const named = { ...child, from: `fork of ${parent.record.name}`, asked, timers };
            const { onProgress, signal } = options;
            const { cpus, memoryMib } = parent.record.resources;
            await this.admission.admit({ ...child, cpus, memoryMib }, { waitMs: 0, onProgress, signal });
            return this.#fork(named, from, parent, { onProgress, signal, source: {}, labels, leased: false });
          }),
        ),
      );
      const failed = made.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
      const sandboxes = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      this.audit.note("fork", parent.record.name, { count: options.count, snapshot: from.snapshot });
      return { sandboxes, method: from.method, pauseMs: from.pauseMs };
    } catch (error) {
      await Promise.all(children.map(({ id }) => this.removeById(id).catch(() => {})));
      for (const { id } of children) this.admission.free(id);
      for (const name of claimed) this.#names.delete(name);
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    } finally {
      await origin?.release();
    }
  }

  async remove(reference: string): Promise<void> {
    await this.removeById(this.sandbox(reference).id);
  }

  /** Two who remove the same wait for the same end. `why` is what its execs end with. */
  async removeById(id: string, why?: EngineError): Promise<void> {
    const creating = this.#creating.get(id);
    if (creating) {
      creating.abort.abort(new EngineError("cancelled", "it was removed while it was made"));
      await creating.settled;
      return;
    }
    await this.#discard(id, why);
  }

  /** Puts the hard end off by a length of time. Throws `conflict` when it has none. */
  async extend(reference: string, byMs: number): Promise<Sandbox> {
    const sandbox = this.sandbox(reference);
    const { record } = sandbox;
    checkVerb("extend", record);
    const { expiresAt } = record.timers;
    if (expiresAt === null) throw new EngineError("conflict", `sandbox ${record.name} has no end to put off`);
    const end = Date.parse(expiresAt) + byMs;
    this.#checkTtl(record.name, end - Date.parse(record.createdAt));
    record.timers.expiresAt = new Date(end).toISOString();
    await sandbox.persist();
    this.#lifecycle.poke();
    this.audit.note("extend", record.name, { id: record.id, expiresAt: record.timers.expiresAt });
    this.#tell(sandbox, "sandbox.extended", { expiresAt: record.timers.expiresAt });
    return sandbox;
  }

  /** What happens to it by itself, and when. */
  next(sandbox: Sandbox): Next | null {
    return this.#lifecycle.next(sandbox);
  }

  /** A leased sandbox's command has ended: from here on it does not end with its client, if that was asked. */
  async commandEnded(sandbox: Sandbox): Promise<void> {
    const { record } = sandbox;
    if (!record.keep || !record.leased) return;
    record.leased = false;
    this.leases.forget(record.id);
    await sandbox.persist();
  }

  async recipes(): Promise<Recipe[]> {
    return shippedRecipes(this.#templatesDir);
  }

  async build(source: SourceRequest, options: ResolveOptions & { force: boolean }): Promise<StoredSnapshot> {
    const asked = new Date().toISOString();
    const recipe = await this.sources.recipe(source);
    await this.#room.needDisk();
    try {
      const built = await this.sources.build(recipe, options);
      this.audit.note("template build", recipe.name, { snapshot: built.id });
      if (built.manifest.createdAt >= asked)
        this.events.append({
          ...{ type: "template.built", target: recipe.name, name: recipe.name, sandbox: null },
          details: { snapshot: built.id },
        });
      return built;
    } catch (error) {
      throw asEngineError(error);
    }
  }

  async doctor(): Promise<Probe[]> {
    const probes = await this.runner.probe();
    const snapshots = await this.snapshots.list();
    return [
      ...probes,
      {
        name: "state",
        state: "ok",
        fatal: false,
        detail: `${snapshots.length} snapshots, ${this.#sandboxes.size} sandboxes in ${this.home.root}`,
      },
      await this.#room.probe(),
    ];
  }

  /** The daemon leaves: machines go on, the next daemon adopts them. */
  async close(): Promise<void> {
    this.leases.close();
    this.#lifecycle.close();
    this.admission.close();
    this.#tellDaemon("daemon.stopped");
    await Promise.all([this.captures.close(), ...this.sandboxes.map((sandbox) => sandbox.letGo())]);
    await this.audit.flush();
  }

  async #thaw(
    named: { id: string; name: string; from: string; asked: number; timers: Timers },
    snapshot: StoredSnapshot,
    options: CreateOptions,
    state?: ForkOrigin,
    replay?: Replay,
    secrets: SealedSecrets | null = null,
  ): Promise<Sandbox> {
    const { id, name, from, asked, timers } = named;
    options.signal.throwIfAborted();
    const { resources, defaults } = snapshot.manifest;
    const dir = join(this.home.sandboxes, id);
    const record: SandboxRecord = {
      schema: 1,
      id,
      name,
      state: "creating",
      from,
      snapshot: snapshot.id,
      runner: this.runner.name,
      resources,
      defaults,
      labels: options.labels,
      createdAt: new Date().toISOString(),
      reason: null,
      leased: options.leased,
      keep: options.keep ?? false,
      thawMs: null,
      derived: state !== undefined,
      replay: replay
        ? { capture: replay.capture.id, level: replay.level, exact: options.source.exact === true }
        : null,
      heldBy: null,
      frozen: null,
      ownSnapshot: null,
      machineId: null,
      secrets: replay ? await this.captures.store.secrets(replay.capture.id) : secrets,
      timers,
      machine: null,
    };
    const sandbox = new Sandbox(dir, record, this.runner, this.captures);
    const abort = new AbortController();
    const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
    const signal = AbortSignal.any([abort.signal, options.signal]);
    await makeSandboxDir(dir);
    this.#creating.set(id, { abort, settled });
    this.#watch(sandbox);
    this.#tell(sandbox, "sandbox.creating", { from, labels: record.labels });
    try {
      const [files] = await Promise.all([
        state?.files ?? this.snapshots.checkForThaw(snapshot),
        sandbox.persist(),
      ]);
      await sandbox.thaw(files, {
        signal,
        difference: state?.difference,
        frozenLive: state !== undefined || isFrozenLive(snapshot.manifest),
      });
      this.admission.started(id);
      record.thawMs = performance.now() - asked;
      await sandbox.persist();
      signal.throwIfAborted();
    } catch (error) {
      await this.#discard(id);
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      this.#creating.delete(id);
      settle();
    }
    this.#lifecycle.poke();
    this.audit.note("create", name, { id, from, snapshot: snapshot.id });
    return sandbox;
  }

  /** One child. What its commands get by default is the parent's. */
  async #fork(
    named: { id: string; name: string; from: string; asked: number; timers: Timers },
    origin: ForkOrigin,
    parent: Sandbox,
    options: CreateOptions,
  ): Promise<Sandbox> {
    const snapshot = await this.snapshots.get(origin.snapshot);
    const { defaults, secrets } = parent.record;
    return this.#thaw(named, withDefaults(snapshot, defaults), options, origin, undefined, secrets);
  }

  /** Leased, though nobody holds it: what a daemon that was killed leaves, the next one removes. */
  async #thawForRerun(
    name: string,
    {
      snapshot,
      origin,
      defaults,
      secrets,
    }: Parameters<RerunHost["thaw"]>[1] & { secrets: SealedSecrets | null },
    options: ResolveOptions,
  ): Promise<Sandbox> {
    const asked = performance.now();
    const id = randomId();
    this.#claim(name);
    try {
      const { cpus, memoryMib } = snapshot.manifest.resources;
      await this.admission.admit({ id, name, cpus, memoryMib }, { ...options, waitMs: RERUN_WAIT_MS });
      const named = { id, name, from: "rerun", asked, timers: noTimers() };
      const request = { ...options, source: {}, labels: {}, leased: true };
      return await this.#thaws.run(() =>
        this.#thaw(named, withDefaults(snapshot, defaults), request, origin, undefined, secrets),
      );
    } catch (error) {
      this.#names.delete(name);
      this.admission.free(id);
      throw error;
    }
  }

  async #openReplay(options: CreateOptions): Promise<Replay | undefined> {
    const { capture, level } = options.source;
    if (capture === undefined) return undefined;
    const found = await this.captures.store.get(capture);
    const { onProgress, signal } = options;
    return openReplay({ ...this.archive.live, ...this.archive.checking }, this.captures.store, found, {
      level,
      onProgress,
      signal,
    });
  }

  async #holdCapture(reference: string | undefined): Promise<Disposable | null> {
    return reference === undefined
      ? null
      : this.archive.holds.take((await this.captures.store.get(reference)).id);
  }

  /** `replay-7k2qxz`, with a number when there is one already. */
  async #replayName(reference: string | undefined): Promise<string | undefined> {
    if (reference === undefined) return undefined;
    const { id } = await this.captures.store.get(reference);
    const name = `replay-${id.slice(id.indexOf("-") + 1)}`;
    let free = name;
    for (let n = 2; this.#names.has(free); n++) free = `${name}-${n}`;
    return free;
  }

  /** Its client is gone, which may be worth a capture. */
  async #leaseLost(id: string): Promise<void> {
    await this.#sandboxes.get(id)?.captureCancelled();
    await this.removeById(id);
  }

  async #recover(): Promise<void> {
    await Promise.all([
      this.snapshots.recover(),
      clearUnfinished(this.home.rootfs),
      clearUnfinished(this.home.sandboxes),
    ]);
    const context = { home: this.home, store: this.snapshots, runner: this.runner };
    await Promise.all((await readdir(this.home.builds)).map((id) => clearBuild(context, id)));
    await this.archive.imports.recover();
    await this.captures.recover();
    await Promise.all((await finished(this.home.sandboxes)).map((id) => this.#adopt(id)));
  }

  async #adopt(id: string): Promise<void> {
    const dir = join(this.home.sandboxes, id);
    const record = await readRecord(join(dir, "record.json"), sandboxRecord);
    if (!record || record.state === "creating" || record.state === "removed") {
      await this.runner.clear({ id, stateDir: dir });
      await rm(dir, { recursive: true, force: true });
      return;
    }
    const sandbox = new Sandbox(dir, record, this.runner, this.captures);
    this.#watch(sandbox);
    this.#names.add(record.name);
    this.admission.adopt(id, isLive(record.state) ? record.resources.memoryMib : 0);
    await sandbox.adopt();
    await sandbox.persist();
    if (record.leased) this.leases.awaitReturn(id);
  }

  #claim(name: string): void {
    if (this.#names.has(name)) {
      throw new EngineError("conflict", `there is already a sandbox named ${name}`, {
        hint: `choose another --name, or thaw rm ${name}`,
      });
    }
    this.#names.add(name);
  }

  /** Keeps it, and tells what becomes of it. */
  #watch(sandbox: Sandbox): void {
    const { id, record } = sandbox;
    this.#sandboxes.set(id, sandbox);
    sandbox.on("transition", ({ to, reason }) => {
      if (to !== "creating") this.#tell(sandbox, `sandbox.${to}`, reason === null ? {} : { reason });
      if (isOver(to)) this.admission.ended(id);
      this.#lifecycle.poke();
    });
    sandbox.onWake = (thaw, signal) => this.#wake(sandbox, thaw, signal);
    sandbox.on("ended", () => {
      if (record.leased) this.leases.afterEnd(id);
    });
    sandbox.on("execStarted", (exec) => this.#tellExec(sandbox, "exec.started", exec));
    sandbox.on("execEnded", (exec) => {
      this.#tellExec(sandbox, "exec.ended", exec);
      void this.#logs.settle(sandbox, () => this.sandboxes);
    });
    sandbox.on("gone", () => this.#logs.forget(id));
  }

  #tell(sandbox: Sandbox, type: EventType, details: Record<string, unknown>): void {
    const { id, record } = sandbox;
    this.events.append({ type, target: id, name: record.name, sandbox: id, details });
  }

  #tellExec(sandbox: Sandbox, type: "exec.started" | "exec.ended", { record }: Exec): void {
    const { id, argv, exit, error } = record;
    this.events.append({
      ...{ type, target: id, name: sandbox.record.name, sandbox: sandbox.id },
      details: type === "exec.started" ? { argv: argv.slice(0, 8) } : { exit, error },
    });
  }

  #tellDaemon(type: "daemon.started" | "daemon.stopped"): void {
    const details = { sandboxes: this.sandboxes.length };
    this.events.append({ type, target: String(process.pid), name: "daemon", sandbox: null, details });
  }

  async #discard(id: string, why?: EngineError): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) return;
    const first = sandbox.record.state !== "removed";
    this.leases.forget(id);
    await sandbox.remove(why);
    if (this.#sandboxes.get(id) !== sandbox) return;
    this.#sandboxes.delete(id);
    this.#names.delete(sandbox.record.name);
    this.admission.free(id);
    await this.#dropOwnSnapshot(sandbox.record.ownSnapshot).catch(() => {});
    if (first) this.audit.note("rm", sandbox.record.name, { id, ...(why ? { why: why.message } : {}) });
  }

  async #freezeAndStop(sandbox: Sandbox): Promise<void> {
    await this.#room.needDisk();
    const { ownSnapshot: before } = sandbox.record;
    await freezeAndStop(this.archive.live, sandbox, AbortSignal.timeout(FREEZE_DEADLINE_MS));
    if (before !== sandbox.record.ownSnapshot) await this.#dropOwnSnapshot(before);
  }

  /** A frozen sandbox needs room for a machine, as a new one does. */
  async #wake(
    { id, record }: Sandbox,
    thaw: (files: SnapshotFiles) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { name, resources, snapshot } = record;
    try {
      await this.#room.needDisk();
      await this.admission.admit({ id, name, ...resources }, { waitMs: 0, onProgress: () => {}, signal });
      const files = await this.snapshots.checkForThaw(await this.snapshots.get(snapshot));
      await this.#thaws.run(() => thaw(files));
      this.admission.started(id);
      this.audit.note("wake", name, { id });
    } catch (error) {
      if (record.frozen) this.admission.ended(id);
      throw asEngineError(error);
    }
  }

  /** A snapshot that was made for one sandbox, and that neither another nor a name has come to need. */
  async #dropOwnSnapshot(id: string | null): Promise<void> {
    if (id === null || (await this.archive.usersOf(id)).length > 0) return;
    if (![...(await this.snapshots.tags()).values()].includes(id)) await this.snapshots.remove(id);
  }

  /** What a timer says. */
  async #actByItself(sandbox: Sandbox, action: Action): Promise<void> {
    const { id, record } = sandbox;
    switch (action) {
      case "pause": {
        await sandbox.pauseIfUnused(`idle for ${Math.round((record.timers.idleMs ?? 0) / 1000)} s`);
        return this.audit.note("pause", record.name, { id, why: "idle" });
      }
      case "stop":
        await this.#freezeAndStop(sandbox);
        return this.audit.note("stop", record.name, { id, why: "paused for long" });
      case "remove": {
        const timeIsUp = Date.parse(record.timers.expiresAt ?? "") <= this.#clock.wall();
        const why = timeIsUp
          ? `its time was up (--ttl): it was to end at ${record.timers.expiresAt}`
          : `it was ${record.state} for long (--remove-after)`;
        return this.removeById(id, new EngineError("timeout", `sandbox ${record.name} was removed: ${why}`));
      }
    }
  }

  /** Throws `usage` for timers that this host's limits do not allow. */
  #timersFor(name: string, asked: TimerRequest): Timers {
    const { ttl, idle, stopAfter, removeAfter } = this.config.defaults;
    const most = this.config.limits.sandbox.ttl;
    const defaults = {
      ttlMs: ttl ?? most ?? null,
      idleMs: idle ?? null,
      stopAfterMs: stopAfter ?? null,
      removeAfterMs: removeAfter ?? null,
    };
    if (asked.ttlMs !== undefined) this.#checkTtl(name, asked.ttlMs ?? Number.POSITIVE_INFINITY);
    return newTimers(asked, defaults, this.#clock.wall());
  }

  #checkTtl(name: string, ttlMs: number): void {
    const most = this.config.limits.sandbox.ttl;
    if (most !== undefined && ttlMs > most)
      throw new EngineError(
        "usage",
        `sandbox ${name} would live longer than this host allows: ${Math.round(most / 1000)} s`,
      );
  }
}

function withDefaults(snapshot: StoredSnapshot, defaults: ExecDefaults): StoredSnapshot {
  return { ...snapshot, manifest: { ...snapshot.manifest, defaults } };
}
