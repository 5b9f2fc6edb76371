import type { Cache } from "../../api/schema.ts";
import type { ApiCalls, CallOptions } from "../api-calls.ts";

/** Cached folders of runs, as a host keeps them. */
export class Caches {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  async list(options?: CallOptions): Promise<Cache[]> {
    const path = "/v1/caches";
    return (await this.#api.with<{ caches: Cache[] }>("caches", { method: "GET", path, ...options })).caches;
  }

  /** Sandboxes that have its folders keep them. @throws ThawError `not-found` */
  remove(cache: string, options?: CallOptions): Promise<void> {
    return this.#api.nothing({
      method: "DELETE",
      path: `/v1/caches/${encodeURIComponent(cache)}`,
      ...options,
    });
  }
}
