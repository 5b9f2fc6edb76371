/** What a host keeps: snapshots and captures. Who needs them, what is removed and when, and how they come and go. */

import { join } from "node:path";
import type { EventDetails } from "../api/event.ts";
import type { Outline } from "../api/travel.ts";
import type { Runners } from "../runners/runners.ts";
import { asEngineError } from "./as-engine-error.ts";
import type { Audit } from "./audit.ts";
import { type CacheRemoval, Caches } from "./caches/caches.ts";
import { callingAsDaemon } from "./caller.ts";
import { Captures } from "./captures/captures.ts";
import {
  bytesFor,
  type CaptureCheck,
  type CheckContext,
  checkCapture,
  type LevelVerdict,
  wholeWouldDo,
} from "./captures/check.ts";
import { budgetsOf, type Pruned, Pruner } from "./captures/prune.ts";
import type { Removal } from "./captures/retention.ts";
import type { StoredCapture } from "./captures/store.ts";
import type { HostConfig } from "./config.ts";
import { EngineError } from "./errors.ts";
import type { EventLog } from "./events/log.ts";
import { Holds } from "./holds.ts";
import type { Home } from "./home.ts";
import { hostNetwork } from "./network/host.ts";
import type { Room } from "./room.ts";
import { type RootRemoval, Roots } from "./rootfs/roots.ts";
import type { SandboxRecord } from "./sandboxes/record.ts";
import { type PartVerdict, SnapshotStore, type StoredSnapshot } from "./snapshots/store.ts";
import type { ResolveOptions } from "./sources.ts";
import { completeEntries } from "./state/entries.ts";
import { needsOf, needsOfUnreadable, type UnreadableThing } from "./state/needs.ts";
import type { Quarantine } from "./state/quarantine.ts";
import { whileThere } from "./state/removed.ts";
import type { BuildContext } from "./templates/build-chain.ts";
import type { StepRemoval } from "./templates/choose-steps.ts";
import { Downloads } from "./templates/downloads.ts";
import { stepsOfSnapshots } from "./templates/publish.ts";
import { ANY, Steps } from "./templates/steps.ts";
import { Exports } from "./travel/exports.ts";
import { type Imported, Imports } from "./travel/imports.ts";
import { makeWhole } from "./travel/whole.ts";
import { type Removed, WireCache } from "./travel/wire-cache.ts";

interface OutlineFigures {
  capture: string;
  downloadBytes: number;
  full: string | null;
}

export interface ArchiveContext {
  home: Home;
  runner: Runners;
  /** The bundle of the process that scans for secrets. */
  scanPath: string;
  room: Room;
  config: HostConfig;
  audit: Audit;
  quarantine: Quarantine;
  events: EventLog;
  /** Records of those there are. */
  sandboxes(): readonly SandboxRecord[];
}

export class Archive {
  readonly snapshots: SnapshotStore;
  readonly captures: Captures;
  readonly caches: Caches;
  readonly steps: Steps;
  readonly roots: Roots;
  readonly downloads: Downloads;
  readonly exports: Exports;
  readonly wire: WireCache;
  readonly imports: Imports;
  readonly holds = new Holds();
  readonly #context: ArchiveContext;
  readonly #pruner: Pruner;

  constructor(context: ArchiveContext) {
    const { home, runner, scanPath, room, config, events, quarantine } = context;
    this.#context = context;
    this.snapshots = new SnapshotStore(home, quarantine);
    this.snapshots.onPublished = ({ id, manifest }) =>
      this.tellSnapshot("snapshot.created", id, manifest.template?.name ?? id, {});
    this.snapshots.onTagged = (id, tag) => this.tellSnapshot("snapshot.tagged", id, tag, {});
    this.captures = new Captures({
      ...{ ...this.live, ...this.checking, quarantine, scanPath },
      holds: this.holds,
      tell: (type, id, details) => {
        events.append({ type, target: id, name: id, sandbox: null, details });
        if (type === "capture.created")
          void callingAsDaemon(() => this.#pruner.afterCapture()).catch(() => {});
      },
    });
    this.caches = new Caches({
      ...{ dir: home.caches, runner, needDisk: (bytes) => room.needDisk(bytes) },
      budget: () => config.value.caches,
    });
    this.steps = new Steps({
      ...{ home, runner },
      budget: () => config.value.steps,
      neededBy: (without) => stepsOfSnapshots(home.snapshots, without),
    });
    this.roots = new Roots(home.rootfs);
    this.downloads = new Downloads({
      ...{ dir: home.downloads, host: hostNetwork(config) },
      needDisk: (bytes) => room.needDisk(bytes),
    });
    this.#pruner = new Pruner({
      captures: this.captures.store,
      snapshots: this.snapshots,
      holds: this.holds,
      budgets: () => {
        config.refresh();
        return config.fault === null ? budgetsOf(config.value) : null;
      },
      sandboxes: () => context.sandboxes(),
      unreadable: () => this.unreadable(),
      removeCapture: (removal) => this.#removeCapture(removal.id, "prune", removal),
      removeSnapshot: (removal) =>
        this.#removeSnapshot(removal.id, removal.id, "prune", { tags: [], why: removal }),
    });
    const { snapshots, holds } = this;
    const { store, scans } = this.captures;
    this.wire = new WireCache(home.wire, (bytes) => room.needDisk(bytes));
    this.exports = new Exports({ snapshots, captures: store, scans, holds, cache: this.wire });
    this.imports = new Imports({
      ...{ home, snapshots, captures: store, runner, holds, quarantine },
      needDisk: (bytes) => room.needDisk(bytes),
      withHelper: (work) => room.admission.withHelper(work),
    });
  }

  /** What makes machines out of it. */
  get live(): BuildContext {
    const { home, runner, room, config } = this.#context;
    const needDisk = (bytes?: number) => room.needDisk(bytes);
    return {
      ...{ home, store: this.snapshots, runner, admission: room.admission, needDisk },
      ...{ hostNetwork: hostNetwork(config), steps: this.steps, downloads: this.downloads },
      roots: this.roots,
    };
  }

  /** What says how a capture can be replayed. */
  get checking(): CheckContext {
    const needRoom = (memoryMib: number, cpus: number): void =>
      this.#context.room.admission.checkSize({ name: "the replay", cpus, memoryMib });
    return { store: this.snapshots, runner: this.#context.runner, needRoom };
  }

  /** What can be made of a capture here, and why not more. */
  async checkCapture(reference: string): Promise<{ capture: StoredCapture; check: CaptureCheck }> {
    const capture = await this.captures.store.get(reference);
    return { capture, check: await checkCapture(this.checking, capture.manifest) };
  }

  /** What could be made of a capture here that is somewhere else, by what its store says of it and of its base. */
  async checkOutline(
    capture: Outline,
    base: Outline | null,
  ): Promise<CaptureCheck & OutlineFigures & { levels: (LevelVerdict & { bytes: number })[] }> {
    if (capture.kind !== "capture")
      throw new EngineError("usage", `${capture.id} is a snapshot, not a capture`);
    const [check, full, here] = await Promise.all([
      checkCapture(this.checking, capture, base !== null && base.id === capture.base.snapshot),
      wholeWouldDo(this.checking, capture),
      completeEntries(this.#context.home.captures),
    ]);
    const hasBase = (await completeEntries(this.#context.home.snapshots)).includes(capture.base.snapshot);
    const missing = here.includes(capture.id) ? [] : [capture, ...(hasBase || base === null ? [] : [base])];
    return {
      capture: capture.id,
      levels: check.levels.map((one) => ({ ...one, bytes: bytesFor(one.level, capture) })),
      best: check.best,
      downloadBytes: missing.flatMap(({ parts }) => parts).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      full,
    };
  }

  /** Refused while a replay's snapshot was made of its disk and is in use; that snapshot goes with it. */
  async removeCapture(reference: string): Promise<void> {
    const { store } = this.captures;
    const damaged = (await store.unreadable()).find(({ id }) => id === reference);
    const { id } = damaged ?? (await store.get(reference));
    await this.#removeCapture(id, "capture rm");
  }

  /**
   * Removes the snapshots that were built of a template here, their variants, and its steps. Throws `conflict` while one is in use: then
   * nothing goes; `not-found` when there is none.
   */
  async removeTemplate(name: string): Promise<{ snapshots: string[]; steps: StepRemoval[] }> {
    const all = (await this.snapshots.list()).filter(({ imported }) => !imported);
    const built = all.filter(({ manifest }) => manifest.template?.name === name).map(({ id }) => id);
    const variants = all
      .filter(({ manifest }) => built.includes(manifest.variantOf ?? ""))
      .map(({ id }) => id);
    const users = (await Promise.all([...variants, ...built].map((id) => this.usersOf(id)))).flat();
    if (users.length > 0)
      throw new EngineError("conflict", `template ${name} is in use by ${users.join(", ")}`, {
        hint: users.map(removalOf).join("; "),
      });
    for (const id of [...variants, ...built]) await this.#removeSnapshot(id, id, "template rm");
    const steps = await this.steps.prune({ dryRun: false, of: name });
    if (built.length + steps.length > 0) return { snapshots: [...variants, ...built], steps };
    throw new EngineError("not-found", `nothing was built of a template ${name}`, {
      hint: "thaw snapshot ls",
    });
  }

  /** Removes what is over the budgets, and snapshots that nothing needs. `dryRun`: only says what. */
  async prune(options: {
    dryRun: boolean;
  }): Promise<
    Pruned & { compressed: Removed[]; caches: CacheRemoval[]; steps: StepRemoval[]; rootfs: RootRemoval[] }
  > {
    try {
      const pruned = await this.#pruner.prune(options);
      const compressed = await this.exports.pruneCache(options);
      const caches = await this.caches.prune(options);
      const without = new Set(pruned.snapshots.map(({ id }) => id));
      const steps = await this.steps.prune({ ...options, of: ANY, without });
      const rootfs = await this.roots.prune(options);
      return { ...pruned, compressed, caches, steps, rootfs };
    } catch (error) {
      throw asEngineError(error);
    }
  }

  async #removeCapture(id: string, verb: string, why?: Removal): Promise<void> {
    const booted = await this.snapshots.find(({ bootedFrom }) => bootedFrom === id);
    if (booted) await this.removeSnapshot(booted.id);
    await this.captures.store.remove(id);
    void this.#context.room.disk.freed();
    const details = why ? { reason: why.reason, bytes: why.bytes } : {};
    this.#context.audit.note(verb, id, details);
    this.#context.events.append({ type: "capture.removed", target: id, name: id, sandbox: null, details });
  }

  /** A capture that resumes on other builds of the hypervisor too. */
  async makeWhole(reference: string, options: ResolveOptions): Promise<StoredCapture> {
    const capture = await this.captures.store.get(reference);
    try {
      await this.#context.room.needDisk();
      const whole = await whileThere({ kind: "capture", ...capture }, () =>
        makeWhole(this.live, this.captures.store, capture, options),
      );
      // The base's own content is no more this run's than where the base travels beside a difference.
      if (whole.id !== capture.id)
        await this.captures.store.note(whole.id, { scan: await this.captures.scans.of(capture) });
      this.#context.audit.note("capture make whole", capture.id, { capture: whole.id });
      return whole;
    } catch (error) {
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    }
  }

  /** Opens, checks and publishes what has come in. */
  async commitImport(key: string, options: ResolveOptions): Promise<Imported> {
    try {
      const imported = await this.imports.commit(key, options);
      const id = imported.kind === "snapshot" ? imported.snapshot.id : imported.capture.id;
      this.#context.audit.note(`${imported.kind} import`, id);
      if (imported.kind === "snapshot") this.tellSnapshot("snapshot.created", id, id, {});
      else
        this.#context.events.append({
          ...{ type: "capture.created", target: id, name: id, sandbox: null },
          details: { imported: true },
        });
      return imported;
    } catch (error) {
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    }
  }

  /** Things that can't be read, and what of the host they need. */
  async unreadable(): Promise<UnreadableThing[]> {
    const { home, quarantine } = this.#context;
    const { store } = this.captures;
    const existing = await completeEntries(home.snapshots);
    const captures = (await store.unreadable()).map(async ({ id }): Promise<UnreadableThing> => {
      const base = await store.baseOf(id);
      const shown = await needsOf("capture", join(home.captures, id), existing);
      return { ...shown, id, kind: "capture", ...(base === null ? {} : { snapshots: new Set([base]) }) };
    });
    return [...(await needsOfUnreadable(quarantine, existing)), ...(await Promise.all(captures))];
  }

  /** Sandboxes and captures that need a snapshot's files; also what can't be read and shows that it does. */
  async usersOf(id: string): Promise<string[]> {
    const [captures, unreadable] = await Promise.all([this.captures.store.list(), this.unreadable()]);
    return [
      ...this.#context
        .sandboxes()
        .filter(({ snapshot, ownSnapshot }) => snapshot === id || ownSnapshot === id)
        .map(({ name }) => name),
      ...captures.filter(({ manifest }) => manifest.base.snapshot === id).map((capture) => capture.id),
      ...unreadable
        .filter(({ kind, snapshots }) => kind !== "tag" && snapshots?.has(id))
        .map((one) => one.id),
    ];
  }

  /** Things that can't be read and may need any snapshot. An unreadable tag names one, and needs none. */
  async unclearUsers(): Promise<string[]> {
    const unreadable = await this.unreadable();
    return unreadable
      .filter(({ kind, snapshots }) => kind !== "tag" && snapshots === null)
      .map(({ id }) => id);
  }

  /** Removes a tag when the snapshot has others, else the snapshot. Refused while a sandbox needs it. */
  async removeSnapshot(reference: string): Promise<void> {
    const snapshot = await this.snapshots.get(reference);
    const tags = [...(await this.snapshots.tags())]
      .filter(([, of]) => of === snapshot.id)
      .map(([tag]) => tag);
    if (tags.includes(reference) && tags.length > 1) return this.snapshots.untag(reference);
    await this.#removeSnapshot(snapshot.id, reference, "snapshot rm", { tags });
  }

  /** @param options.tags it may have those and no others; default: any */
  async #removeSnapshot(
    id: string,
    reference: string,
    verb: string,
    { tags, why }: { tags?: readonly string[]; why?: Removal } = {},
  ): Promise<void> {
    const users = await this.usersOf(id);
    if (users.length > 0) {
      throw new EngineError("conflict", `snapshot ${reference} is in use by ${users.join(", ")}`, {
        hint: users.map(removalOf).join("; "),
      });
    }
    const unclear = await this.unclearUsers();
    if (unclear.length > 0)
      throw new EngineError(
        "conflict",
        `snapshot ${reference} may be in use by state that can't be read: ${unclear.join(", ")}`,
        {
          hint: `thaw quarantine ls; repair the entry, then thaw quarantine restore ${unclear[0]}; or remove it: ${unclear.map(removalOf).join("; ")}`,
        },
      );
    if (!(await this.snapshots.remove(id, tags)))
      throw new EngineError("conflict", `snapshot ${reference} was tagged meanwhile`, {
        hint: "thaw snapshot ls; then try again",
      });
    void this.#context.room.disk.freed();
    const details = why ? { reason: why.reason, bytes: why.bytes } : {};
    this.#context.audit.note(verb, reference, { id, ...details });
    this.tellSnapshot("snapshot.removed", id, reference, details);
  }

  /** Tells the listeners of events about a snapshot. */
  tellSnapshot<T extends "snapshot.created" | "snapshot.tagged" | "snapshot.removed">(
    type: T,
    id: string,
    name: string,
    details: EventDetails<T>,
  ): void {
    this.#context.events.append({ type, target: id, name, sandbox: null, details });
  }

  async verify(
    reference: string,
    signal: AbortSignal,
  ): Promise<{ snapshot: StoredSnapshot; parts: PartVerdict[] }> {
    const snapshot = await this.snapshots.get(reference);
    return { snapshot, parts: await this.snapshots.verify(snapshot, signal) };
  }
}

/** The command that removes a sandbox, a capture or an entry of the quarantine. */
function removalOf(user: string): string {
  if (user.includes("/")) return `thaw quarantine rm ${user}`;
  return /^(fail|capture)-/.test(user) ? `thaw capture rm ${user}` : `thaw rm ${user}`;
}
