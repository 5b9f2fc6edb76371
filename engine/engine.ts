/** The engine: sandboxes, snapshots and templates on one host. Knows machines only through the Runner interface. Verbs: engine/verbs. */
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { CacheSaved } from "../api/cache.ts";
import type { DiskUse } from "../api/disk.ts";
import type { HostLimits } from "../api/host.ts";
import type { PoolList, PoolMode, PoolSize } from "../api/pool.ts";
import type { Forward, ForwardRequest, PortsState } from "../api/ports.ts";
import { sha256 } from "../durable/digest.ts";
import { currentPace, measurePace, setPace } from "../host/pace.ts";
import type { Probe, Runner } from "../runners/runner.ts";
import type { Runners } from "../runners/runners.ts";
import type { Admission } from "./admission.ts";
import { Archive } from "./archive.ts";
import { Audit } from "./audit.ts";
import type { Caches } from "./caches/caches.ts";
import { callingAsDaemon } from "./caller.ts";
import type { Captures } from "./captures/captures.ts";
import type { Rerun, RerunOptions } from "./captures/rerun.ts";
import type { StoredCapture } from "./captures/store.ts";
import { Gate } from "./concurrency.ts";
import { type Config, configProbes, HostConfig } from "./config.ts";
import { DiskMeter } from "./disk-use.ts";
import type { EngineError } from "./errors.ts";
import { EventLog } from "./events/log.ts";
import { LogBudget, type LogLimits } from "./execs/log-budget.ts";
import { type Home, homeProbes, openHome } from "./home.ts";
import { Leases } from "./leases.ts";
import type { Clock } from "./lifecycle/clock.ts";
import { Lifecycle } from "./lifecycle/lifecycle.ts";
import { systemClock } from "./lifecycle/system-clock.ts";
import type { Next } from "./lifecycle/timers.ts";
import { type CreatedFrom, measured } from "./measurements.ts";
import { roomMib } from "./memory-claims.ts";
import type { MemoryPressure } from "./memory-pressure.ts";
import { PackageJudge } from "./packages/outdated.ts";
import { SuiteIndexes } from "./packages/suite-index.ts";
import type { Parts } from "./parts.ts";
import { Pools } from "./pool/pools.ts";
import { poolProbes } from "./pool/probe.ts";
import { setPoolMode, setPoolSize } from "./pool/settings.ts";
import { clearSandbox, readAgain } from "./recovery/adopt.ts";
import { Heartbeat } from "./recovery/heartbeat.ts";
import { type Problem, recover } from "./recovery/recover.ts";
import { Room } from "./room.ts";
import type { ForwardKey } from "./sandboxes/forwards.ts";
import type { HostSocketRules } from "./sandboxes/host-socket.ts";
import { SandboxRegistry } from "./sandboxes/registry.ts";
import type { Sandbox } from "./sandboxes/sandbox.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshots/store.ts";
import { type ResolveOptions, type SourceRequest, Sources } from "./sources.ts";
import { Quarantine, quarantineProbe } from "./state/quarantine.ts";
import { type KnownTemplate, knownTemplate, knownTemplates } from "./templates/known.ts";
import { shippedRecipes } from "./templates/shipped.ts";
import { traced } from "./tracing.ts";
import { build } from "./verbs/build.ts";
import { actByTimer, memoryPressure } from "./verbs/by-timer.ts";
import { capture } from "./verbs/capture.ts";
import { type CreateOptions, create } from "./verbs/create.ts";
import { extend } from "./verbs/extend.ts";
import { type Fork, type ForkOptions, fork } from "./verbs/fork.ts";
import { type Freeze, freeze } from "./verbs/freeze.ts";
import { label } from "./verbs/label.ts";
import { setNetwork } from "./verbs/network.ts";
import { pauseOrResume } from "./verbs/pause.ts";
import { addForward, portsOf, removeForward } from "./verbs/ports.ts";
import { endPreviews, sharePreview } from "./verbs/previews.ts";
import { endLease, removeSandbox } from "./verbs/remove.ts";
import { rename } from "./verbs/rename.ts";
import { rerun } from "./verbs/rerun.ts";
import { retime } from "./verbs/retime.ts";
import { poolHost } from "./verbs/spare.ts";
import { stop } from "./verbs/stop.ts";
import { undo } from "./verbs/undo.ts";

/** Between the moment in which clients can come and the first machine that is asked. */
const ANSWER_FIRST_MS = 50;
/** Output of execs, unless the configuration says otherwise. */
const KEPT_LOGS_MIB = { sandbox: 256, host: 8192 };

export interface EngineOptions {
  homePath: string;
  runner: Runners;
  /** Folder of the shipped templates. */
  templatesDir: string;
  agentPath: string;
  /** The bundle of the process that scans for secrets. */
  scanPath: string;
  /** Default: unix sockets are made anywhere but in the state folder. */
  hostSockets?: HostSocketRules;
  clock?: Clock;
}

export class Engine {
  readonly #parts: Parts;
  readonly #templatesDir: string;
  readonly #heartbeat: Heartbeat;
  readonly #pressure: MemoryPressure<Sandbox>;
  readonly #disk: DiskMeter;
  /** Packages of what was built. */
  readonly packages: PackageJudge;
  /** What of an earlier daemon's state could not be recovered. */
  #problems: readonly Problem[] = [];
  #rest: () => Promise<void> = async () => {};

  private constructor(parts: Parts, templatesDir: string) {
    this.#parts = parts;
    this.#templatesDir = templatesDir;
    this.#pressure = memoryPressure(parts);
    this.#disk = new DiskMeter(parts);
    this.packages = new PackageJudge(new SuiteIndexes(parts.home.packages));
    this.#heartbeat = new Heartbeat(parts.home.heartbeat, parts.clock);
  }

  /** Opens the state folder and reads what an earlier daemon left. No machine is asked before `begin`. */
  static async open(options: EngineOptions): Promise<Engine> {
    const home = openHome(options.homePath);
    const agentDigest = sha256(await readFile(options.agentPath)).slice(0, 16);
    const parts = assemble(home, options, agentDigest);
    const engine = new Engine(parts, options.templatesDir);
    const { problems, rest } = await recover(parts);
    engine.#problems = problems;
    engine.#rest = rest;
    engine.#tellDaemon("daemon.started");
    return engine;
  }

  /** Listens again at the ports that lead into sandboxes. Connections wait until the sandbox is adopted. */
  async openPorts(): Promise<void> {
    const live = this.sandboxes.filter(({ record }) => record.state !== "removing");
    await Promise.all(live.map(({ forwards, record }) => forwards.restore(record.forwards)));
  }

  /** Clients can come: adopts the machines of an earlier daemon and starts the timers. Resolves when every machine was asked. */
  async begin(): Promise<void> {
    const { leases, lifecycle } = this.#parts;
    leases.open();
    this.#pressure.start();
    this.#parts.pools.open(this.#parts.config.value.pool);
    // Taking up a hundred machines keeps a processor busy for a while: whoever waited for this daemon is answered first.
    const rest = pause(ANSWER_FIRST_MS, undefined, { ref: false }).then(() => this.#rest());
    await Promise.all([rest, this.#heartbeat.start(), lifecycle.start().catch(() => {})]);
  }

  get home(): Home {
    return this.#parts.home;
  }

  get runner(): Runner {
    return this.#parts.runner;
  }

  get snapshots(): SnapshotStore {
    return this.#parts.snapshots;
  }

  get sources(): Sources {
    return this.#parts.sources;
  }

  get captures(): Captures {
    return this.#parts.captures;
  }

  get caches(): Caches {
    return this.#parts.caches;
  }

  get archive(): Archive {
    return this.#parts.archive;
  }

  get leases(): Leases {
    return this.#parts.leases;
  }

  get audit(): Audit {
    return this.#parts.audit;
  }

  get events(): EventLog {
    return this.#parts.events;
  }

  /** State that could not be read. */
  get quarantine(): Quarantine {
    return this.#parts.quarantine;
  }

  poolList(): PoolList {
    const { pools, config } = this.#parts;
    config.refresh();
    return { auto: config.value.pool === "auto", pools: pools.list() };
  }

  async setPoolSize(name: string, wanted: PoolSize): Promise<void> {
    await setPoolSize(this.#parts.config, name, wanted);
    this.audit.note("config set", `pool.${name}`, { ...wanted });
  }

  async setPoolMode(wanted: PoolMode): Promise<void> {
    await setPoolMode(this.#parts.config, wanted);
    this.audit.note("config set", "pool", { ...wanted });
  }

  get admission(): Admission {
    return this.#parts.admission;
  }

  /** Those there are, also those that are being removed. */
  get sandboxes(): Sandbox[] {
    return this.#parts.registry.present;
  }

  /** By id, name or unique prefix of an id. */
  sandbox(reference: string): Sandbox {
    return this.#parts.registry.find(reference);
  }

  /** The sandboxes that the request with this id has made, in the order in which it is answered; also under an earlier daemon. */
  madeBy(request: string): Sandbox[] {
    return this.#parts.registry.madeBy(request);
  }

  /** Its client is told of it when this resolves: from then on it stays though nobody asks for it again. */
  async answered(sandbox: Sandbox): Promise<void> {
    const { record } = sandbox;
    if (record.request === null || record.request.answered) return;
    record.request = { ...record.request, answered: true };
    if (!record.leased) this.leases.forget(record.id);
    await sandbox.persist();
  }

  /** Its client went away before it was told: it may ask again, or the sandbox is removed. */
  async unanswered(sandbox: Sandbox): Promise<void> {
    const { record } = sandbox;
    if (record.request === null || record.leased) return;
    record.request = { ...record.request, answered: false };
    this.leases.awaitReturn(record.id);
    await sandbox.persistSoon();
  }

  /** Removes what a request that was called off has made: its sandboxes, its capture, a snapshot that it had not tagged yet; kills its exec. */
  undo(request: string): Promise<void> {
    return undo(this.#parts, request);
  }

  create(options: CreateOptions): Promise<Sandbox> {
    const of = { verb: "create", from: createdFrom(options.source) } as const;
    return measured(
      of,
      () => create(this.#parts, options),
      (sandbox) => ({ thawsMs: thawsMs([sandbox]) }),
    );
  }

  capture(reference: string, options: Parameters<typeof capture>[2]): Promise<StoredCapture> {
    return capture(this.#parts, reference, options);
  }

  rerun(reference: string, options: RerunOptions): Promise<Rerun> {
    return measured({ verb: "rerun" }, () => rerun(this.#parts, reference, options));
  }

  freeze(
    reference: string,
    tag: string,
    options: ResolveOptions & { request?: string | undefined },
  ): Promise<Freeze> {
    const work = () => freeze(this.#parts, reference, { ...options, tag });
    return measured({ verb: "freeze" }, work, ({ pauseMs }) => ({ pauseMs }));
  }

  fork(reference: string, options: ForkOptions): Promise<Fork> {
    const of = { verb: "fork", from: "fork" } as const;
    return measured(
      of,
      () => fork(this.#parts, reference, options),
      ({ sandboxes, pauseMs }) => ({
        ...{ thawsMs: thawsMs(sandboxes), pauseMs },
      }),
    );
  }

  /** Also one whose record can't be read, by its id: its machine is ended, its folder deleted. */
  async remove(reference: string): Promise<void> {
    const unreadable = this.quarantine.marked("sandbox", reference);
    if (unreadable) return void (await this.quarantine.remove(unreadable.id));
    await this.removeById(this.sandbox(reference).id);
  }

  /** Every caller waits for the same end. @param why what its execs end with */
  removeById(id: string, why?: EngineError): Promise<void> {
    return removeSandbox(this.#parts, id, why);
  }

  label(reference: string, changes: Readonly<Record<string, string | null>>): Promise<Sandbox> {
    return label(this.#parts, reference, changes);
  }

  rename(reference: string, options: Parameters<typeof rename>[2]): Promise<Sandbox> {
    return rename(this.#parts, reference, options);
  }

  retime(reference: string, timers: Parameters<typeof retime>[2]): Promise<Sandbox> {
    return retime(this.#parts, reference, timers);
  }

  stop(reference: string): Promise<Sandbox> {
    return stop(this.#parts, reference);
  }

  /** Asked again by the same request, it is answered by the state that it has brought about. */
  pauseOrResume(verb: "pause" | "resume", reference: string, request: string | undefined): Promise<Sandbox> {
    const work = () => pauseOrResume(this.#parts, verb, reference, request);
    return verb === "resume" ? measured({ verb }, work) : work();
  }

  /** Keeps a sandbox's cached folders as they are now, for runs to come. */
  async saveCache(reference: string): Promise<CacheSaved> {
    const sandbox = this.sandbox(reference);
    const saved = await sandbox.during(() => this.#parts.caches.save(sandbox));
    const { cache, reason } = saved;
    this.audit.note("cache save", sandbox.record.name, { id: sandbox.id, cache: cache?.id ?? null, reason });
    return saved;
  }

  extend(reference: string, options: Parameters<typeof extend>[2]): Promise<Sandbox> {
    return extend(this.#parts, reference, options);
  }

  /** What it may reach from now on, beyond the host's defaults. */
  setNetwork(reference: string, asked: Parameters<typeof setNetwork>[2]): Promise<Sandbox> {
    return setNetwork(this.#parts, reference, asked);
  }

  ports(reference: string): Promise<PortsState> {
    return portsOf(this.sandbox(reference));
  }

  addForward(reference: string, forward: ForwardRequest, request?: string): Promise<Forward> {
    return addForward(this.#parts, this.sandbox(reference), forward, request);
  }

  removeForward(reference: string, key: ForwardKey): Promise<void> {
    return removeForward(this.#parts, this.sandbox(reference), key);
  }

  /** What the configuration says of previews, as it is now. */
  previewSettings(): Config["preview"] {
    return this.#parts.config.required().preview;
  }

  /** Calls back with the configuration: at once, and after each change. */
  followConfig(listener: (value: Config) => void): void {
    listener(this.#parts.config.value);
    this.#parts.config.listen(listener);
  }

  /** Of the disk of the state folder. */
  diskFigures(): Promise<DiskUse["disk"]> {
    return this.#parts.room.diskFigures();
  }

  sharePreview(sandbox: Sandbox, grant: { port: number; publicUntil: string | null }): Promise<void> {
    return sharePreview(this.#parts, sandbox, grant);
  }

  endPreviews(reference: string, port: number): Promise<void> {
    return endPreviews(this.#parts, this.sandbox(reference), port);
  }

  build(source: SourceRequest, options: Parameters<typeof build>[2]): Promise<StoredSnapshot> {
    return traced("build", () => build(this.#parts, source, options));
  }

  /** What happens to it by itself, and when. */
  next(sandbox: Sandbox): Next | null {
    return this.#parts.lifecycle.next(sandbox);
  }

  /** A leased sandbox's command has ended: from here on it does not end with its client, if that was asked. */
  async commandEnded(sandbox: Sandbox): Promise<void> {
    const { record } = sandbox;
    if (!record.keep || !record.leased) return;
    record.leased = false;
    this.leases.forget(record.id);
    await sandbox.persistSoon();
  }

  /** The shipped templates, and others that were built here. */
  async templates(): Promise<KnownTemplate[]> {
    return knownTemplates(this.#known, await shippedRecipes(this.#templatesDir));
  }

  /** A recipe that a client has, as the list of templates has its own. */
  async template(source: SourceRequest): Promise<KnownTemplate> {
    return knownTemplate(this.#known, await this.sources.recipe(source));
  }

  get #known(): Parameters<typeof knownTemplate>[0] {
    const { sources, snapshots, archive } = this;
    return {
      ...{ store: snapshots, steps: archive.steps },
      built: (recipe) => sources.built(recipe),
      incompatible: (snapshot) => sources.incompatible(snapshot),
    };
  }

  /** Where clients without a reach of their own may push to. */
  stores(): readonly string[] {
    const { config } = this.#parts;
    config.refresh();
    return config.value.stores;
  }

  /** What sandboxes may take, by the configuration and by the host, and what is left of it. */
  limits(): HostLimits {
    const { admission, config, room } = this.#parts;
    config.refresh();
    const { limits, figures, claims } = admission;
    const { sandbox, logs } = config.value.limits;
    const { reserveBytes, hostBytes } = room.disk.limits;
    const { maxCount, maxBytes, maxAge } = config.value.captures;
    const bytesOf = (mib: number | undefined): number | null => (mib === undefined ? null : mib * 2 ** 20);
    return {
      sandboxes: { most: limits.sandboxes, now: figures.sandboxes, waiting: figures.waiting },
      memory: {
        ...{ mostMib: limits.memoryMib, ownedMib: claims.ownedMib, roomMib: roomMib(claims, limits) },
        ...{ reserveMib: limits.reserveMib, overcommit: limits.overcommit },
      },
      disk: { mostBytes: hostBytes ?? null, ownedBytes: room.disk.ownedBytes, reserveBytes },
      logsBytes: (logs ?? KEPT_LOGS_MIB.host) * 2 ** 20,
      sandbox: {
        ...{ cpus: limits.perSandbox.cpus, memoryMib: limits.perSandbox.memoryMib },
        ...{ diskBytes: bytesOf(sandbox.disk), ttlMs: sandbox.ttl ?? null },
        logsBytes: (sandbox.logs ?? KEPT_LOGS_MIB.sandbox) * 2 ** 20,
      },
      captures: { count: maxCount ?? null, bytes: bytesOf(maxBytes), ageMs: maxAge ?? null },
      file: config.path,
    };
  }

  /** What takes the disk of the state folder. */
  diskUse(): Promise<DiskUse> {
    return this.#disk.measure();
  }

  async doctor(): Promise<Probe[]> {
    const { config, runner, snapshots, registry, home, room, quarantine, pools } = this.#parts;
    config.refresh();
    const probes = await runner.probe();
    const found = await snapshots.list();
    return [
      ...probes,
      {
        name: "state",
        state: "ok",
        fatal: false,
        detail: `${found.length} snapshots, ${registry.size} sandboxes in ${home.root}`,
      },
      ...homeProbes(home),
      ...configProbes(config),
      ...paceProbes(config.value),
      ...poolProbes(pools.list()),
      await room.probe(),
      quarantineProbe(await quarantine.list()),
      ...this.#problems.map(({ what, message }) => ({
        ...{ name: "recovery", state: "warning" as const, fatal: false },
        ...{ detail: `${what} could not be restored: ${message}`, hint: "thaw daemon logs" },
      })),
    ];
  }

  /** The daemon leaves: machines go on, the next daemon adopts them. */
  async close(): Promise<void> {
    const { leases, lifecycle, admission, captures, audit, pools } = this.#parts;
    const noSpares = pools.close();
    leases.close();
    lifecycle.close();
    admission.close();
    this.#pressure.close();
    this.#parts.room.disk.close();
    this.#tellDaemon("daemon.stopped");
    await this.#heartbeat.stop();
    await Promise.all([noSpares, captures.close(), ...this.sandboxes.map((sandbox) => sandbox.detach())]);
    await audit.flush();
  }

  #tellDaemon(type: "daemon.started" | "daemon.stopped"): void {
    const details = { sandboxes: this.sandboxes.length };
    this.events.append({ type, target: String(process.pid), name: "daemon", sandbox: null, details });
  }
}

function createdFrom({ capture, snapshot }: SourceRequest): CreatedFrom {
  return capture !== undefined ? "capture" : snapshot !== undefined ? "snapshot" : "template";
}

function thawsMs(sandboxes: readonly Sandbox[]): number[] {
  return sandboxes.flatMap(({ record }) => record.thawMs ?? []);
}

function logLimitsOf({ limits }: Config): LogLimits {
  const { logs = KEPT_LOGS_MIB.host, sandbox } = limits;
  return { hostBytes: logs * 2 ** 20, sandboxBytes: (sandbox.logs ?? KEPT_LOGS_MIB.sandbox) * 2 ** 20 };
}

/** A line of `thaw doctor` where deadlines are not those of a common machine. */
function paceProbes({ runner: { slow } }: Config): Probe[] {
  const factor = currentPace();
  if (factor === 1) return [];
  const detail = `deadlines are ${factor.toFixed(1)} times as long (${slow === undefined ? "measured" : "runner.slow"})`;
  return [{ name: "pace", state: "ok", fatal: false, detail }];
}

function applyToMachines(runner: Runner, { runner: settings }: Config): void {
  setPace(settings.slow ?? measurePace());
  runner.configure(settings);
}

function assemble(home: Home, options: EngineOptions, agentDigest: string): Parts {
  const { runner, scanPath, templatesDir, clock = systemClock } = options;
  const config = new HostConfig(home.config);
  const audit = new Audit(home.audit);
  const events = EventLog.open(home.events);
  const registry = new SandboxRegistry();
  const room = new Room(home.root, { config: config.value, runner }, () => registry.present);
  const sandboxes = () => registry.present.map(({ record }) => record);
  const quarantine = new Quarantine(home.root);
  const archive = new Archive({ home, runner, scanPath, room, config, audit, events, quarantine, sandboxes });
  const logs = new LogBudget(logLimitsOf(config.value));
  applyToMachines(runner, config.value);
  config.listen((value) => {
    applyToMachines(runner, value);
    room.apply(value);
    logs.limits = logLimitsOf(value);
    parts.pools.configure(value.pool);
    for (const one of registry.present) one.network.refresh();
  });
  const { hostSockets = { refused: null, ownFolders: [home.root] } } = options;
  const parts: Parts = {
    hostSockets,
    ...{ home, config, clock, runner, registry, archive, room, audit, events, quarantine, logs },
    snapshots: archive.snapshots,
    captures: archive.captures,
    caches: archive.caches,
    admission: room.admission,
    sources: new Sources(archive.live, { templatesDir, agentDigest, settings: () => config.value.runner }),
    leases: new Leases((id) => callingAsDaemon(() => endLease(parts, id))),
    pools: new Pools(poolHost(() => parts, templatesDir)),
    thaws: new Gate(availableParallelism()),
    lifecycle: new Lifecycle<Sandbox>({
      clock,
      clockFile: home.clock,
      sandboxes: () => registry.present,
      act: (one, action) => actByTimer(parts, one, action),
      onJump: (jumpMs) => {
        // The host slept, or its clock was set: guests follow it.
        for (const one of registry.present) void one.stepClock().catch(() => {});
        events.append({
          ...{ type: "clock.jumped", target: "clock", name: "clock", sandbox: null },
          details: { jumpMs: Math.round(jumpMs) },
        });
      },
      able: { pause: runner.capabilities.pause, stop: runner.capabilities.liveFreeze },
    }),
  };
  parts.admission.makeRoom = () => parts.pools.giveUp();
  onSnapshotNews(events, () => parts.pools.reconsider());
  quarantine.own("sandbox", {
    readAgain: ({ what }) => readAgain(parts, what),
    discard: ({ what }) => clearSandbox(parts, what),
  });
  return parts;
}

function onSnapshotNews(events: EventLog, changed: () => void): void {
  let { lastId } = events;
  events.listen(() => {
    const news = events.after(lastId);
    lastId = events.lastId;
    if (news.some(({ type }) => type.startsWith("snapshot."))) changed();
  });
}
