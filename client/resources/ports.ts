import type { Forward, ForwardRequest, PortsState } from "../../api/schema.ts";
import type { ApiCalls, CallOptions } from "../api-calls.ts";

/** Ports and unix sockets of the host that lead into a sandbox. */
export class Ports {
  readonly #api: ApiCalls;
  readonly #path: string;

  /** Made by a sandbox. */
  constructor(api: ApiCalls, sandboxPath: string) {
    this.#api = api;
    this.#path = `${sandboxPath}/ports`;
  }

  /** The forwards there are, and what listens inside. */
  state(options?: CallOptions): Promise<PortsState> {
    return this.#api.json({ method: "GET", path: this.#path, ...options });
  }

  /** Adds a forward. A connection to it wakes the sandbox. @returns the forward, with the port it got. @throws ThawError `conflict` */
  add(forward: ForwardRequest, options?: CallOptions): Promise<Forward> {
    return this.#api.json({ method: "POST", path: this.#path, json: forward, ...options });
  }

  /** Ends the forward of a port of the host, or of a unix socket's path there, with its connections. */
  remove(port: number | string, options?: CallOptions): Promise<void> {
    return this.#api.nothing({
      method: "DELETE",
      path: `${this.#path}/${encodeURIComponent(port)}`,
      ...options,
    });
  }
}
