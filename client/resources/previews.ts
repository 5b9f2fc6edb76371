import type { Preview, PreviewRequest } from "../../api/schema.ts";
import type { ApiCalls, CallOptions } from "../api-calls.ts";

/** What listens in a sandbox, shown in browsers. */
export class Previews {
  readonly #api: ApiCalls;
  readonly #path: string;

  /** Made by a sandbox. */
  constructor(api: ApiCalls, sandboxPath: string) {
    this.#api = api;
    this.#path = `${sandboxPath}/previews`;
  }

  /** Makes a link to a port, which expires, or makes the port public. @throws ThawError `conflict` when previews can't be served */
  create(request: PreviewRequest, options?: CallOptions): Promise<Preview> {
    return this.#api.json({ method: "POST", path: this.#path, json: request, repeatable: false, ...options });
  }

  /** Ends public access to a port, and every link to it that was made so far. */
  end(port: number, options?: CallOptions): Promise<void> {
    return this.#api.nothing({ method: "DELETE", path: `${this.#path}/${port}`, ...options });
  }
}
