import type { NetworkEntry, NetworkRequest, NetworkState } from "../../api/schema.ts";
import { type ApiCalls, type CallOptions, withQuery } from "../api-calls.ts";
import { parseLines } from "../ndjson.ts";

/** What a sandbox may reach, and what it did. */
export class Network {
  readonly #api: ApiCalls;
  readonly #path: string;

  /** Made by a sandbox. */
  constructor(api: ApiCalls, sandboxPath: string) {
    this.#api = api;
    this.#path = `${sandboxPath}/network`;
  }

  /** The policy in force, where each rule comes from, and the destinations there were. */
  state(options?: CallOptions): Promise<NetworkState> {
    return this.#api.json({ method: "GET", path: this.#path, ...options });
  }

  /** Replaces what was asked for when the sandbox was made. Counts for new connections at once, and ends those that it does not allow. */
  set(layers: NetworkRequest, options?: CallOptions): Promise<NetworkState> {
    return this.#api.json({ method: "PUT", path: this.#path, json: layers, ...options });
  }

  /** Connections that have ended, oldest first. @param options follow: wait for more; denied: only those that were denied */
  async *log(
    options: CallOptions & { follow?: boolean; denied?: boolean } = {},
  ): AsyncGenerator<NetworkEntry, void> {
    const { follow = false, denied = false, signal } = options;
    const query = { follow: follow ? "1" : "0", denied: denied ? "1" : "0" };
    const body = await this.#api.send({ method: "GET", path: withQuery(`${this.#path}/log`, query), signal });
    for await (const line of parseLines(body)) yield line as NetworkEntry;
  }
}
