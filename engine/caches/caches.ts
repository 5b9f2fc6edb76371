/**
 * Cached folders of runs, as a host keeps them. Each cache is a folder of the host with two files, a layer for the disks of machines and a record;
 * one rename publishes it, and nothing changes it after. A sandbox has its own hard link to the layer, so to remove a cache harms no sandbox.
 */
import { chmod, mkdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Cache, type CacheRequest, type CacheSaved, cache, type SandboxCache } from "../../api/cache.ts";
import { sha256 } from "../../durable/digest.ts";
import { publish } from "../../durable/publish.ts";
import type { Runner } from "../../runners/runner.ts";
import { Gate } from "../concurrency.ts";
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { isFrozenLive } from "../snapshots/manifest.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { completeEntries } from "../state/entries.ts";
import { readRecord, recordKind, valueOrNull } from "../state/record.ts";
import { type CacheRemoval, chooseCache, overBudget } from "./choose.ts";
import { CantMountError } from "./inside.ts";

const LAYER_FILE = "layer.qcow2";
/** Its time of change says when a run last used it. */
const RECORD_FILE = "cache.json";
const cacheRecord = recordKind("cache", cache.omit({ usedAt: true }).extend({ schema: z.literal(1) }));

export interface CachesContext {
  dir: string;
  runner: Runner;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
  budget(): Config["caches"];
}

/** Of a sandbox that is to be made. The layer is there until this is disposed of. */
export interface OpenedCache extends Disposable {
  record: SandboxCache;
  layer: string;
  /** Why no sandbox came of it. Folders that no guest can mount go: else no run would succeed any more. */
  explain(error: unknown): Promise<unknown>;
}

export class Caches {
  readonly #context: CachesContext;
  /** Ids of those that sandboxes are being made of, as often as they are. */
  readonly #open: string[] = [];
  readonly #formatting = new Gate(1);
  /** Publishing and removing: one after the other. */
  readonly #changing = new Gate(1);

  constructor(context: CachesContext) {
    this.#context = context;
  }

  /** Those there are. One whose record can't be read is as good as not there. */
  async list(): Promise<Cache[]> {
    const found = await Promise.all((await completeEntries(this.#context.dir)).map((id) => this.#read(id)));
    return found.filter((one) => one !== null);
  }

  /** What a sandbox of the snapshot begins with: folders of an earlier run, or empty ones. Throws `unsupported` for a snapshot that can't have any. */
  async open(request: CacheRequest, snapshot: StoredSnapshot, signal: AbortSignal): Promise<OpenedCache> {
    const { manifest, id } = snapshot;
    if (isFrozenLive(manifest))
      throw new EngineError(
        "unsupported",
        `snapshot ${id} was frozen from a sandbox: it can't have cached folders`,
        {
          hint: "start from a template, or leave the cache out",
        },
      );
    const { diskMib } = manifest.resources;
    const { repository, write, key, paths } = request;
    const chosen = chooseCache(await this.list(), request, diskMib);
    const restored = chosen && { id: chosen.id, key: chosen.key, scope: chosen.scope };
    const record = { repository, write, key, paths, restored };
    if (chosen === null) {
      const layer = await this.#emptyLayer(diskMib, signal);
      return { record, layer, explain: async (error) => error, [Symbol.dispose]: () => {} };
    }
    this.#open.push(chosen.id);
    const now = new Date();
    await utimes(join(this.#context.dir, chosen.id, RECORD_FILE), now, now).catch(() => {});
    const close = (): unknown => this.#open.splice(this.#open.indexOf(chosen.id), 1);
    const layer = join(this.#context.dir, chosen.id, LAYER_FILE);
    return { record, layer, explain: (error) => this.#explain(error, chosen.id), [Symbol.dispose]: close };
  }

  /** Keeps the folders of a sandbox as they are now, unless those of its key are kept already or it may not. */
  async save(sandbox: Sandbox, signal?: AbortSignal): Promise<CacheSaved> {
    const { dir } = this.#context;
    const { cache: own, name, resources } = sandbox.record;
    if (own === null) throw new EngineError("conflict", `sandbox ${name} has no cached folders`);
    const not = (reason: string): CacheSaved => ({ cache: null, reason });
    const { repository, write: scope, key, paths, restored } = own;
    if (scope === null) return not("this run may read caches, but not save them");
    if (restored?.key === key) return not(`${key} is already saved`);
    const { diskMib } = resources;
    const id = sha256(JSON.stringify([repository, scope, key, diskMib])).slice(0, 16);
    if ((await this.#read(id)) !== null) return not(`${key} is already saved`);
    const draft = join(dir, `.${randomId()}`);
    await mkdir(draft);
    try {
      const layer = join(draft, LAYER_FILE);
      await sandbox.saveCache(layer, { signal, room: (bytes) => this.#needRoom(bytes) });
      await chmod(layer, 0o444);
      const storedBytes = (await stat(layer)).blocks * 512;
      const about = { id, repository, scope, key, paths: [...paths], diskMib, storedBytes };
      if (!(await this.#publish(draft, { ...about, createdAt: new Date().toISOString() })))
        return not(`${key} is already saved`);
      await this.prune({ dryRun: false });
      return { cache: await this.#read(id), reason: null };
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }

  async #needRoom(bytes: number): Promise<void> {
    const { maxBytes } = this.#context.budget();
    if (bytes > maxBytes * 2 ** 20)
      throw new EngineError(
        "no-space",
        `the cached folders take ${Math.ceil(bytes / 2 ** 20)} MiB, caches.maxBytes is ${maxBytes} MiB`,
      );
    await this.#context.needDisk(bytes);
  }

  /** @returns false when another run was first */
  #publish(draft: string, about: Omit<Cache, "usedAt">): Promise<boolean> {
    return this.#changing.run(async () => {
      const target = join(this.#context.dir, about.id);
      // What lies there can't be read.
      if ((await this.#read(about.id)) === null) await rm(target, { recursive: true, force: true });
      const text = `${JSON.stringify({ schema: 1, ...about })}\n`;
      return publish({ draft, target, manifest: { name: RECORD_FILE, text } });
    });
  }

  /** Throws `not-found`. */
  async remove(id: string): Promise<void> {
    if (!(await completeEntries(this.#context.dir)).includes(id))
      throw new EngineError("not-found", `no cache ${id}`, { hint: "thaw cache ls" });
    await this.#remove(id);
  }

  /** Removes what is over the budget. @returns what went, or with `dryRun` would go */
  prune({ dryRun }: { dryRun: boolean }): Promise<CacheRemoval[]> {
    return this.#changing.run(async () => {
      const { maxCount, maxBytes, maxAge } = this.#context.budget();
      const budget = { maxCount, maxBytes: maxBytes * 2 ** 20, maxAgeMs: maxAge };
      const removals = overBudget(await this.list(), budget, Date.now()).filter(
        ({ id }) => !this.#open.includes(id),
      );
      if (!dryRun) for (const { id } of removals) await this.#remove(id);
      return removals;
    });
  }

  async #explain(error: unknown, id: string): Promise<unknown> {
    if (!(error instanceof CantMountError)) return error;
    await this.#remove(id).catch(() => {});
    return new EngineError("unsupported", `${error.message}; cache ${id} is removed`, {
      hint: "run it again: the cached folders start empty",
      cause: error,
    });
  }

  /** Out of sight by one rename, then away. */
  async #remove(id: string): Promise<void> {
    const grave = join(this.#context.dir, `.${randomId()}`);
    await rename(join(this.#context.dir, id), grave);
    await rm(grave, { recursive: true, force: true });
  }

  async #read(id: string): Promise<Cache | null> {
    const path = join(this.#context.dir, id, RECORD_FILE);
    const [read, found] = await Promise.all([readRecord(path, cacheRecord), stat(path).catch(() => null)]);
    const record = valueOrNull(read);
    if (record === null || found === null || record.id !== id) return null;
    const { schema: _schema, ...rest } = record;
    return { ...rest, usedAt: found.mtime.toISOString() };
  }

  /** Made once for each size of disk. */
  #emptyLayer(diskMib: number, signal: AbortSignal): Promise<string> {
    return this.#formatting.run(async () => {
      const { dir, runner, needDisk } = this.#context;
      const layer = join(dir, `.empty-${diskMib}.qcow2`);
      if ((await stat(layer).catch(() => null)) !== null) return layer;
      const draft = `${layer}.${randomId()}`;
      await runner.formatCache(draft, diskMib, { signal, room: (bytes) => needDisk(bytes) });
      await chmod(draft, 0o444);
      await rename(draft, layer);
      return layer;
    });
  }
}

export type { CacheRemoval };
