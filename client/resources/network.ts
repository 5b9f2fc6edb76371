import type { NetworkEntry, NetworkRequest, NetworkState } from "../../api/schema.ts";
import { type ApiCalls, type CallOptions, withQuery } from "../api-calls.ts";
import { ThawError } from "../errors.ts";
import { followLines } from "../ndjson.ts";

/** As many as the daemon keeps, and so tells again after a connection that broke. */
const REMEMBERED = 1_000;

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

  /**
   * Connections that have ended, oldest first. Following ends with the sandbox; a connection to the daemon that breaks is made again.
   * @param options follow: wait for more; denied: only those that were denied
   */
  async *log(
    options: CallOptions & { follow?: boolean; denied?: boolean } = {},
  ): AsyncGenerator<NetworkEntry, void> {
    const { follow = false, denied = false, signal } = options;
    const query = { follow: follow ? "1" : "0", denied: denied ? "1" : "0" };
    const path = withQuery(`${this.#path}/log`, query);
    const told = new Set<string>();
    let began = false;
    const open = async (): Promise<AsyncIterable<Uint8Array>> => {
      const body = await this.#api.send({ method: "GET", path, signal });
      began = true;
      return body;
    };
    try {
      for await (const entry of followLines<NetworkEntry>(open, { follow, signal })) {
        const line = JSON.stringify(entry);
        if (told.has(line)) continue;
        if (follow) told.add(line);
        if (told.size > REMEMBERED) for (const oldest of told.keys().take(1)) told.delete(oldest);
        yield entry;
      }
    } catch (error) {
      if (!(began && error instanceof ThawError && error.code === "not-found")) throw error;
    }
  }
}
