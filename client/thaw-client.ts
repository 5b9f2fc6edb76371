import type { Event, StatsSample } from "../api/schema.ts";
import { ApiCalls, type CallOptions, withQuery } from "./api-calls.ts";
import { Caches } from "./resources/caches.ts";
import { Captures } from "./resources/captures.ts";
import { Host, Quarantine } from "./resources/host.ts";
import { Pools } from "./resources/pools.ts";
import { Sandboxes } from "./resources/sandboxes.ts";
import { Snapshots, Templates } from "./resources/snapshots.ts";
import { Tokens } from "./resources/tokens.ts";
import { Transfers } from "./resources/transfers.ts";
import type { Transport } from "./transport.ts";

/** Which events are wanted. */
export interface EventsOptions extends CallOptions {
  /** Events after this id. Default: those from now on; without `follow`, all that are kept. */
  since?: number | undefined;
  /** Only of this sandbox and its execs. */
  sandbox?: string | undefined;
  /** Wait for more. Default true. */
  follow?: boolean | undefined;
  /** Events before `oldest` that were asked for are no longer kept. */
  onGap?: (gap: { since: number; oldest: number }) => void;
  /** The daemon is there: called for each event, and every 15 s without one. */
  onAlive?: () => void;
}

/** A daemon's resources, however it is reached. Every method throws {@link ThawError}, or the signal's reason when aborted. */
export class ThawClient<T extends Transport = Transport> implements AsyncDisposable {
  protected readonly transport: T;
  readonly #api: ApiCalls;
  readonly sandboxes: Sandboxes;
  readonly snapshots: Snapshots;
  readonly captures: Captures;
  readonly caches: Caches;
  readonly pools: Pools;
  readonly templates: Templates;
  readonly tokens: Tokens;
  readonly transfers: Transfers;
  readonly quarantine: Quarantine;
  readonly host: Host;

  protected constructor(transport: T) {
    this.transport = transport;
    this.#api = new ApiCalls(transport);
    this.sandboxes = new Sandboxes(this.#api);
    this.snapshots = new Snapshots(this.#api);
    this.captures = new Captures(this.#api);
    this.caches = new Caches(this.#api);
    this.pools = new Pools(this.#api);
    this.templates = new Templates(this.#api);
    this.tokens = new Tokens(this.#api);
    this.transfers = new Transfers(this.#api);
    this.quarantine = new Quarantine(this.#api);
    this.host = new Host(this.#api);
  }

  /**
   * Events of the host, as they happen. A connection that breaks is made again, from the last event on: none is missed or told twice.
   */
  async *events(options: EventsOptions = {}): AsyncGenerator<Event, void> {
    const { followEvents } = await import("./events.ts");
    yield* followEvents((path, signal) => this.#api.send({ method: "GET", path, signal }), options);
  }

  /**
   * What all sandboxes use of the host: one sample, or with `follow` one after each interval. A connection that breaks is made again.
   * @param options intervalMs: at least 1000. Default 2000
   */
  async *stats(
    options: CallOptions & { follow?: boolean; intervalMs?: number } = {},
  ): AsyncGenerator<StatsSample, void> {
    const { follow = false, intervalMs, signal } = options;
    const query = { follow: follow ? "1" : "0", intervalMs: intervalMs?.toString() };
    const { followLines } = await import("./ndjson.ts");
    const open = () => this.#api.send({ method: "GET", path: withQuery("/v1/stats", query), signal });
    yield* followLines<StatsSample>(open, { follow, signal });
  }

  /** Closes the client's connections. */
  async close(): Promise<void> {
    this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
