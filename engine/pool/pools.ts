/**
 * Machines that were made before anybody asked for one: thawed, exercised, paused. Who asks for a sandbox of their snapshot claims one, which
 * then gets all that a fresh thaw gets. A spare is nobody's: it is in no list, and does not outlive its daemon.
 */
import type { Pool as PoolState } from "../../api/pool.ts";
import { callingAsDaemon } from "../caller.ts";
import { Gate } from "../concurrency.ts";
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import { measurements } from "../measurements.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { Usage } from "./usage.ts";

/** After a claim. The command of whoever claimed comes first. */
const REFILL_AFTER_MS = 150;
/** What could not be made is tried again after this long, and twice as long each time. */
const RETRY_MS = { first: 2_000, longest: 300_000 };
/** Given up for want of room: none is made for this long. */
const NO_ROOM_MS = 30_000;
/** An automatic pool that is not used any more ends within this time. */
const AUTO_LOOK_MS = 600_000;

/** What a pool is of. */
export interface PoolKey extends Pick<PoolState, "name" | "cpus" | "memoryMib"> {
  /** Of an automatic pool: this snapshot and no other, whatever has the name. */
  only?: string;
}

export interface PoolHost {
  /** The snapshot that a sandbox of it would be thawed from now; built when it is missing. */
  resolve(key: PoolKey, signal: AbortSignal): Promise<StoredSnapshot>;
  /** A machine of it, thawed, exercised and paused, with its room admitted. Throws `no-capacity`, `no-space`. */
  make(snapshot: StoredSnapshot, signal: AbortSignal): Promise<Sandbox>;
  /** Ends it; its room is free afterwards. Never rejects. */
  discard(spare: Sandbox): Promise<void>;
  /** Machines are being made that somebody waits for. */
  isBusy(): boolean;
}

interface Spare {
  sandbox: Sandbox;
  snapshot: string;
  madeAt: string;
}

interface Pool {
  key: PoolKey;
  size: number;
  /** What a sandbox would be thawed from now; null: not known yet. */
  snapshot: string | null;
  spares: Set<Spare>;
  hits: number;
  misses: number;
  problem: string | null;
  retryMs: number;
  /** By `performance.now`: it is not tried before. */
  notBefore: number;
  filling: Promise<void> | null;
  /** Something has changed since that began. */
  again: boolean;
  /** The pool ends. */
  abort: AbortController;
}

export class Pools {
  readonly #host: PoolHost;
  readonly #usage = new Usage();
  /** By the text of their keys. */
  readonly #pools = new Map<string, Pool>();
  /** One machine at a time: those that somebody waits for come first. */
  readonly #making = new Gate(1);
  #config: Config["pool"] = {};
  #noRoomUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is due, by `performance.now`. */
  #dueAt = Number.POSITIVE_INFINITY;
  #open = false;

  constructor(host: PoolHost) {
    this.#host = host;
  }

  /** From now on spares are made. */
  open(config: Config["pool"]): void {
    this.#open = true;
    this.configure(config);
  }

  configure(config: Config["pool"]): void {
    this.#config = config;
    this.#noRoomUntil = 0;
    this.reconsider();
  }

  /** What could not be made may be possible now, and what is there may be out of date. */
  reconsider(): void {
    if (!this.#open) return;
    for (const pool of this.#pools.values()) pool.notBefore = 0;
    this.#adjust();
    this.#poke(0);
  }

  get hasSpares(): boolean {
    return this.#all.some(({ spares }) => spares.size > 0);
  }

  /** A spare of this snapshot, which is the caller's from now on; null: there is none. @param from what the caller calls the snapshot */
  claim(snapshot: StoredSnapshot, from: string): Sandbox | null {
    if (!this.#open) return null;
    if (this.#config === "auto") {
      this.#usage.note(snapshot.id, from);
      this.#adjust();
    }
    const pools = this.#all.filter((one) => one.snapshot === snapshot.id);
    if (pools.length === 0) return null;
    this.#poke(REFILL_AFTER_MS);
    for (const pool of pools)
      for (const spare of pool.spares) {
        if (spare.snapshot !== snapshot.id) continue;
        pool.spares.delete(spare);
        pool.hits += 1;
        measurements.emit("claim", "hit");
        spare.sandbox.removeAllListeners("ended");
        return spare.sandbox;
      }
    const [first] = pools;
    if (first) first.misses += 1;
    measurements.emit("claim", "miss");
    return null;
  }

  /** Ends all spares, for want of room; null: there are none. */
  giveUp(): Promise<void> | null {
    if (!this.hasSpares) return null;
    this.#noRoomUntil = performance.now() + NO_ROOM_MS;
    this.#poke(NO_ROOM_MS);
    return Promise.all(this.#all.map((pool) => this.#discard(pool))).then(() => {});
  }

  list(): PoolState[] {
    return this.#all.map(
      ({ key: { name, cpus, memoryMib }, size, snapshot, spares, hits, misses, problem }) => {
        const oldestAt = [...spares].map(({ madeAt }) => madeAt).sort()[0] ?? null;
        const noRoom = spares.size < size && performance.now() < this.#noRoomUntil;
        return {
          ...{ name, cpus, memoryMib, size, snapshot, ready: spares.size, hits, misses, oldestAt },
          problem: problem ?? (noRoom ? "its spares were ended to make room" : null),
        };
      },
    );
  }

  /** No spare is left. */
  async close(): Promise<void> {
    this.#open = false;
    clearTimeout(this.#timer);
    await Promise.all(this.#all.map((pool) => this.#end(pool)));
  }

  get #all(): Pool[] {
    return [...this.#pools.values()];
  }

  #poke(inMs: number): void {
    const at = performance.now() + inMs;
    if (!this.#open || at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => {
      this.#dueAt = Number.POSITIVE_INFINITY;
      callingAsDaemon(() => this.#fill());
    }, inMs).unref();
  }

  #fill(): void {
    this.#adjust();
    const now = performance.now();
    if (this.#config === "auto") this.#poke(AUTO_LOOK_MS);
    for (const pool of this.#all) {
      if (pool.notBefore > now) this.#poke(pool.notBefore - now);
      else if (pool.filling) pool.again = true;
      else pool.filling = this.#fillOne(pool);
    }
  }

  /** The pools that there should be, by the configuration or by use. */
  #adjust(): void {
    const wanted = this.#wanted();
    for (const [text, pool] of this.#pools) {
      if (wanted.has(text)) continue;
      this.#pools.delete(text);
      void callingAsDaemon(() => this.#end(pool));
    }
    for (const [text, { key, size }] of wanted) {
      const pool = this.#pools.get(text);
      if (pool) pool.size = size;
      else
        this.#pools.set(text, {
          ...{ key, size, hits: 0, misses: 0, problem: null, retryMs: RETRY_MS.first, notBefore: 0 },
          ...{ spares: new Set(), filling: null, again: false, abort: new AbortController() },
          snapshot: key.only ?? null,
        });
    }
  }

  #wanted(): Map<string, { key: PoolKey; size: number }> {
    const wanted = new Map<string, { key: PoolKey; size: number }>();
    if (this.#config === "auto") {
      for (const [snapshot, { name, size }] of this.#usage.sizes())
        wanted.set(snapshot, { key: { name, only: snapshot }, size });
    } else {
      for (const [name, { size, cpus, memory }] of Object.entries(this.#config))
        if (size > 0)
          wanted.set(JSON.stringify([name, cpus, memory]), { key: { name, cpus, memoryMib: memory }, size });
    }
    return wanted;
  }

  /** Never rejects. */
  async #fillOne(pool: Pool): Promise<void> {
    pool.again = false;
    try {
      if (!this.#host.isBusy()) await this.#refill(pool);
      pool.problem = null;
      pool.retryMs = RETRY_MS.first;
      if (pool.spares.size < pool.size)
        this.#poke(Math.max(REFILL_AFTER_MS, this.#noRoomUntil - performance.now()));
    } catch (error) {
      await this.#failed(pool, error as Error);
    }
    pool.filling = null;
    if (pool.again) this.#poke(0);
  }

  async #failed(pool: Pool, error: Error): Promise<void> {
    if (pool.abort.signal.aborted) return;
    pool.problem = error.message;
    // Nobody is to get what was removed.
    if (error instanceof EngineError && error.code === "not-found") await this.#discard(pool);
    pool.notBefore = performance.now() + pool.retryMs;
    this.#poke(pool.retryMs);
    pool.retryMs = Math.min(pool.retryMs * 2, RETRY_MS.longest);
  }

  async #refill(pool: Pool): Promise<void> {
    const { signal } = pool.abort;
    const snapshot = await this.#host.resolve(pool.key, signal);
    pool.snapshot = snapshot.id;
    await this.#discard(pool, (spare) => spare.snapshot !== snapshot.id);
    while (pool.spares.size > pool.size) {
      const [oldest] = pool.spares;
      await this.#discard(pool, (spare) => spare === oldest);
    }
    while (pool.spares.size < pool.size && performance.now() >= this.#noRoomUntil) {
      const made = await this.#making.run(async () => {
        signal.throwIfAborted();
        return this.#host.isBusy() ? null : this.#host.make(snapshot, signal);
      });
      if (made === null) return;
      this.#keep(pool, { sandbox: made, snapshot: snapshot.id, madeAt: new Date().toISOString() });
      if (signal.aborted) return this.#discard(pool);
    }
  }

  #keep(pool: Pool, spare: Spare): void {
    pool.spares.add(spare);
    spare.sandbox.once("ended", () => {
      void this.#discard(pool, (one) => one === spare);
      this.#poke(REFILL_AFTER_MS);
    });
  }

  async #end(pool: Pool): Promise<void> {
    pool.abort.abort(new EngineError("cancelled", `pool ${pool.key.name} ends`));
    await pool.filling;
    await this.#discard(pool);
  }

  async #discard({ spares }: Pool, chosen: (spare: Spare) => boolean = () => true): Promise<void> {
    const gone = [...spares].filter(chosen);
    for (const spare of gone) spares.delete(spare);
    await Promise.all(gone.map(({ sandbox }) => this.#host.discard(sandbox)));
  }
}
