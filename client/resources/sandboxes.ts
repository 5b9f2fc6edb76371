import type { CreateRequest, Sandbox as SandboxInfo, SandboxList } from "../../api/schema.ts";
import { type ApiCalls, type CallOptions, type ProgressOptions, withQuery } from "../api-calls.ts";
import { type ListEnd, type PageOptions, pageParameters } from "../pages.ts";
import { Sandbox, SandboxReference } from "./sandbox.ts";
import { sandboxPath } from "./sandbox-path.ts";

/** Sandboxes of one host. */
export class Sandboxes {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  /**
   * Thaws a sandbox. Builds its template when there is no snapshot of it yet. Aborted, it leaves nothing behind.
   * @throws ThawError `no-capacity`, `invalid-template`, `build-failed`, `not-found`, `conflict` (its name is taken)
   */
  async create(request: CreateRequest = {}, options: ProgressOptions = {}): Promise<Sandbox> {
    const { sandbox } = await this.#api.make("sandbox", "/v1/sandboxes", request, options);
    return new Sandbox(this.#api, sandbox);
  }

  /** @param options labels: `KEY=VALUE`, or `KEY` with any value; only sandboxes that have them all. */
  async list(options: CallOptions & { labels?: readonly string[] | undefined } = {}): Promise<Sandbox[]> {
    const { labels = [], ...call } = options;
    const query = new URLSearchParams(labels.map((label): [string, string] => ["label", label]));
    const path = labels.length === 0 ? "/v1/sandboxes" : `/v1/sandboxes?${query}`;
    const { sandboxes } = await this.#api.with<{ sandboxes: SandboxInfo[] }>("sandboxes", {
      method: "GET",
      path,
      ...call,
    });
    return sandboxes.map((info) => new Sandbox(this.#api, info));
  }

  /**
   * Sandboxes sorted by creation, a page at a time. `thaw.events({ since: lastEvent })` goes on from the list without a gap.
   */
  async page(options: CallOptions & PageOptions = {}): Promise<{ sandboxes: Sandbox[] } & ListEnd> {
    const { limit, after, ...call } = options;
    const path = withQuery("/v1/sandboxes", pageParameters({ limit, after }));
    const list = await this.#api.with<SandboxList>("sandboxes", { method: "GET", path, ...call });
    return { ...list, sandboxes: list.sandboxes.map((info) => new Sandbox(this.#api, info)) };
  }

  /** @param sandbox its id, name, or a unique prefix of its id. @throws ThawError `not-found` */
  async get(sandbox: string, options?: CallOptions): Promise<Sandbox> {
    return new Sandbox(
      this.#api,
      await this.#api.json({ method: "GET", path: sandboxPath(sandbox), ...options }),
    );
  }

  /** A sandbox by its id, name, or a unique prefix of its id, without asking whether it is there. */
  at(sandbox: string): SandboxReference {
    return new SandboxReference(this.#api, sandbox);
  }
}
