/** The engine: sandboxes, snapshots and templates on one host. Knows machines only through the Runner interface. */
import { readdir, readFile, rm, statfs } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Probe, type Runner, RunnerError } from "../runners/runner.ts";
import { Audit } from "./audit.ts";
import { Gate } from "./concurrency.ts";
import { EngineError, type ErrorCode } from "./errors.ts";
import { clearUnfinished, finished, readRecord, sha256 } from "./files.ts";
import { type Home, openHome } from "./home.ts";
import { Leases } from "./leases.ts";
import { nearest } from "./nearest.ts";
import { type ForkOrigin, forkOrigin } from "./sandboxes/fork.ts";
import { type FrozenSandbox, freezeSandbox } from "./sandboxes/freeze.ts";
import { type SandboxRecord, sandboxRecord } from "./sandboxes/record.ts";
import { makeSandboxDir, randomId, Sandbox } from "./sandboxes/sandbox.ts";
import { isFrozenLive } from "./snapshots/manifest.ts";
import { type PartVerdict, SnapshotStore, type StoredSnapshot } from "./snapshots/store.ts";
import { type ResolveOptions, type SourceRequest, Sources } from "./sources.ts";
import { clearBuild } from "./templates/build.ts";
import type { Recipe } from "./templates/recipe.ts";
import { shippedRecipes } from "./templates/shipped.ts";

/** Below this a thaw or a build is refused: a full disk pauses every guest of the host. */
const MIN_FREE_BYTES = 256 * 2 ** 20;

export interface EngineOptions {
  homePath: string;
  runner: Runner;
  /** Folder of the shipped templates. */
  templatesDir: string;
  agentPath: string;
}

export interface CreateOptions extends ResolveOptions {
  source: SourceRequest;
  name?: string | undefined;
  labels: Record<string, string>;
  cpus?: number | undefined;
  memoryMib?: number | undefined;
  /** Ends with its client. */
  leased: boolean;
  /** Leased only until its command has ended. */
  keep?: boolean | undefined;
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
  readonly leases: Leases;
  readonly audit: Audit;
  readonly #templatesDir: string;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #names = new Set<string>();
  readonly #thaws = new Gate(availableParallelism());

  private constructor(home: Home, options: EngineOptions, agentDigest: string) {
    this.home = home;
    this.runner = options.runner;
    this.#templatesDir = options.templatesDir;
    this.snapshots = new SnapshotStore(home);
    this.sources = new Sources(
      { home, store: this.snapshots, runner: options.runner },
      options.templatesDir,
      agentDigest,
    );
    this.leases = new Leases((id) => this.removeById(id));
    this.audit = new Audit(home.audit);
  }

  /** Opens the state folder, clears what was half made, and adopts every machine found. */
  static async open(options: EngineOptions): Promise<Engine> {
    const home = openHome(options.homePath);
    const agentDigest = sha256(await readFile(options.agentPath)).slice(0, 16);
    const engine = new Engine(home, options, agentDigest);
    await engine.#recover();
    return engine;
  }

  get sandboxes(): Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  /** By id, name or unique prefix of an id. */
  sandbox(reference: string): Sandbox {
    const all = this.sandboxes;
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
    const name = options.name ?? id;
    this.#claim(name);
    try {
      await this.#needSpace();
      const { snapshot: found, from } = await this.sources.resolve(options.source, options);
      const snapshot = await this.sources.withResources(found, options, options);
      return await this.#thaws.run(() => this.#thaw({ id, name, from, asked }, snapshot, options));
    } catch (error) {
      this.#names.delete(name);
      if (options.signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
      throw asEngineError(error);
    }
  }

  /** Makes a snapshot of a sandbox, which goes on, and names it. */
  async freeze(reference: string, tag: string, options: ResolveOptions): Promise<FrozenSandbox> {
    const sandbox = this.sandbox(reference);
    try {
      await this.#needSpace();
      const frozen = await freezeSandbox(this.#live, sandbox, options);
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
      await this.#needSpace();
      const from = await forkOrigin(this.#live, parent, options);
      origin = from;
      const { labels } = parent.record;
      const made = await Promise.allSettled(
        children.map((child) =>
          this.#thaws.run(() => {
            const named = { ...child, from: `fork of ${parent.record.name}`, asked };
            const { onProgress, signal } = options;
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

  async removeById(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) return;
    this.leases.forget(id);
    await sandbox.remove();
    this.#sandboxes.delete(id);
    this.#names.delete(sandbox.record.name);
    this.audit.note("rm", sandbox.record.name, { id });
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
    const recipe = await this.sources.recipe(source);
    await this.#needSpace();
    try {
      const built = await this.sources.build(recipe, options);
      this.audit.note("template build", recipe.name, { snapshot: built.id });
      return built;
    } catch (error) {
      throw asEngineError(error);
    }
  }

  /** Sandboxes and variants that need a snapshot's files. */
  async usersOf(id: string): Promise<string[]> {
    return this.sandboxes.filter(({ record }) => record.snapshot === id).map(({ record }) => record.name);
  }

  /** Removes a tag when the snapshot has others, else the snapshot. Refused while a sandbox needs it. */
  async removeSnapshot(reference: string): Promise<void> {
    const snapshot = await this.snapshots.get(reference);
    const tags = [...(await this.snapshots.tags())]
      .filter(([, of]) => of === snapshot.id)
      .map(([tag]) => tag);
    if (tags.includes(reference) && tags.length > 1) return this.snapshots.untag(reference);
    const users = await this.usersOf(snapshot.id);
    if (users.length > 0) {
      throw new EngineError("conflict", `snapshot ${reference} is in use by ${users.join(", ")}`, {
        hint: `thaw rm ${users.join(" ")}`,
      });
    }
    await this.snapshots.remove(snapshot.id);
    this.audit.note("snapshot rm", reference, { id: snapshot.id });
  }

  async verify(
    reference: string,
    signal: AbortSignal,
  ): Promise<{ snapshot: StoredSnapshot; parts: PartVerdict[] }> {
    const snapshot = await this.snapshots.get(reference);
    return { snapshot, parts: await this.snapshots.verify(snapshot, signal) };
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
    ];
  }

  /** The daemon leaves: machines go on, the next daemon adopts them. */
  async close(): Promise<void> {
    this.leases.close();
    await Promise.all(this.sandboxes.map((sandbox) => sandbox.letGo()));
    await this.audit.flush();
  }

  async #thaw(
    named: { id: string; name: string; from: string; asked: number },
    snapshot: StoredSnapshot,
    options: CreateOptions,
    state?: ForkOrigin,
  ): Promise<Sandbox> {
    const { id, name, from, asked } = named;
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
      machine: null,
    };
    const sandbox = new Sandbox(dir, record, this.runner);
    await makeSandboxDir(dir);
    this.#sandboxes.set(id, sandbox);
    try {
      const [files] = await Promise.all([
        state?.files ?? this.snapshots.checkForThaw(snapshot),
        sandbox.persist(),
      ]);
      await sandbox.thaw(files, {
        signal: options.signal,
        difference: state?.difference,
        frozenLive: state !== undefined || isFrozenLive(snapshot.manifest),
      });
      record.thawMs = performance.now() - asked;
      await sandbox.persist();
    } catch (error) {
      await this.removeById(id);
      throw error;
    }
    sandbox.on("ended", () => {
      if (record.leased) this.leases.afterEnd(id);
    });
    this.audit.note("create", name, { id, from, snapshot: snapshot.id });
    return sandbox;
  }

  /** One child. What its commands get by default is the parent's. */
  async #fork(
    named: { id: string; name: string; from: string; asked: number },
    origin: ForkOrigin,
    parent: Sandbox,
    options: CreateOptions,
  ): Promise<Sandbox> {
    const snapshot = await this.snapshots.get(origin.snapshot);
    const { defaults } = parent.record;
    return this.#thaw(named, { ...snapshot, manifest: { ...snapshot.manifest, defaults } }, options, origin);
  }

  get #live(): { home: Home; store: SnapshotStore; runner: Runner } {
    return { home: this.home, store: this.snapshots, runner: this.runner };
  }

  async #recover(): Promise<void> {
    await Promise.all([
      this.snapshots.recover(),
      clearUnfinished(this.home.rootfs),
      clearUnfinished(this.home.sandboxes),
    ]);
    const context = { home: this.home, store: this.snapshots, runner: this.runner };
    await Promise.all((await readdir(this.home.builds)).map((id) => clearBuild(context, id)));
    await Promise.all((await finished(this.home.sandboxes)).map((id) => this.#adopt(id)));
  }

  async #adopt(id: string): Promise<void> {
    const dir = join(this.home.sandboxes, id);
    const record = await readRecord(join(dir, "record.json"), sandboxRecord);
    if (!record || record.state === "creating") {
      await this.runner.clear({ id, stateDir: dir });
      await rm(dir, { recursive: true, force: true });
      return;
    }
    const sandbox = new Sandbox(dir, record, this.runner);
    this.#sandboxes.set(id, sandbox);
    this.#names.add(record.name);
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

  async #needSpace(): Promise<void> {
    const { bavail, bsize } = await statfs(this.home.root);
    const free = bavail * bsize;
    if (free >= MIN_FREE_BYTES) return;
    throw new EngineError(
      "no-space",
      `${Math.round(free / 2 ** 20)} MB free under ${this.home.root}, ${MIN_FREE_BYTES / 2 ** 20} MB needed`,
      {
        hint: "thaw snapshot ls; thaw snapshot rm what is not needed",
      },
    );
  }
}

const RUNNER_CODES: Record<RunnerError["code"], ErrorCode> = {
  "missing-tool": "host-not-ready",
  "no-space": "no-space",
  "no-memory": "no-capacity",
  "start-failed": "host-not-ready",
  timeout: "timeout",
  "machine-gone": "machine-ended",
  incompatible: "snapshot-incompatible",
  "corrupt-snapshot": "snapshot-corrupt",
  unsupported: "unsupported",
};

/** What a runner or an agent throws, in the engine's words. */
export function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const { message, console: consoleTail } = error as Error & { console?: string };
  const details = consoleTail ? { details: consoleTail.trimEnd().split("\n").slice(-10) } : {};
  if (error instanceof RunnerError)
    return new EngineError(RUNNER_CODES[error.code], message, { hint: error.hint, cause: error });
  const { name, kind, code } = error as { name?: string; kind?: string; code?: string };
  if (name === "SessionError")
    return new EngineError(kind === "timeout" ? "agent-timeout" : "agent-fault", message, {
      ...details,
      cause: error,
    });
  if (name === "AgentRefusal")
    return new EngineError(kind === "not-found" ? "not-found" : "exec-refused", message, { cause: error });
  if (code === "ENOSPC") return new EngineError("no-space", message, { cause: error });
  return new EngineError("internal", message ?? String(error), { cause: error });
}
