import type { PoolList, PoolMode, PoolSize } from "../../api/schema.ts";
import type { ApiCalls, CallOptions } from "../api-calls.ts";

/** Machines that a host has ready before anybody asks for a sandbox. */
export class Pools {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  list(options?: CallOptions): Promise<PoolList> {
    return this.#api.with<PoolList>("pools", { method: "GET", path: "/v1/pools", ...options });
  }

  /** How many spares the pool of a template's name or a snapshot's tag has from now on; 0: none. @throws ThawError `usage`, `unsupported` */
  resize(pool: string, wanted: PoolSize, options?: CallOptions): Promise<PoolList> {
    const path = `/v1/pools/${encodeURIComponent(pool)}`;
    return this.#api.with<PoolList>("pools", { method: "PUT", path, json: wanted, ...options });
  }

  /** `auto`: pools follow the last hour's use; `off`: there are none. @throws ThawError `unsupported` */
  setMode(mode: PoolMode["mode"], options?: CallOptions): Promise<PoolList> {
    return this.#api.with<PoolList>("pools", {
      method: "PUT",
      path: "/v1/pools",
      json: { mode },
      ...options,
    });
  }
}
