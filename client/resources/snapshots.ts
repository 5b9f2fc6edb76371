import type {
  BuildRequest,
  DescribeRequest,
  Snapshot,
  SnapshotList,
  SnapshotPackages,
  Template,
  TemplatePruneReport,
  TemplateRemoval,
  VerifyReport,
} from "../../api/schema.ts";
import {
  type ApiCalls,
  type CallOptions,
  type ProgressOptions,
  SLOW_ANSWER_MS,
  withQuery,
} from "../api-calls.ts";
import { type PageOptions, pageParameters } from "../pages.ts";

const OF_OLDER_DAEMONS = { shipped: true, builtAt: null, packages: null, storedBytes: 0, steps: [] };

/** Recipes that ship with the daemon, and what was built of others. */
export class Templates {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  async list(options?: CallOptions): Promise<Template[]> {
    const path = "/v1/templates";
    const call = { method: "GET", path, ...options } as const;
    const { templates } = await this.#api.with<{ templates: Template[] }>("templates", call);
    // A daemon of an older version has the shipped ones only, and says less of them.
    return templates.map((one) => ({ ...OF_OLDER_DAEMONS, ...one }));
  }

  /** The text of a shipped template's recipe. @throws ThawError `not-found` when its recipe is not on the host */
  async recipe(template: string, options?: CallOptions): Promise<string> {
    const path = `/v1/templates/${encodeURIComponent(template)}/recipe`;
    return (await this.#api.with<{ recipe: string }>("recipe", { method: "GET", path, ...options })).recipe;
  }

  /** A recipe of the client's as the host's list has its own: whether it is built here, with which sizes. */
  async describe(request: DescribeRequest, options?: CallOptions): Promise<Template> {
    const how = { method: "POST", path: "/v1/templates/describe", json: request } as const;
    return (await this.#api.json<{ template: Template }>({ ...how, ...options })).template;
  }

  /** Builds a template into a snapshot. One that was built before is answered at once, unless `force` or `refresh` is set. */
  async build(request: BuildRequest, options: ProgressOptions = {}): Promise<Snapshot> {
    return (await this.#api.result("snapshot", "/v1/templates/build", request, options)).snapshot;
  }

  /** Removes the snapshots that were built of a template on this host, and its steps. */
  remove(template: string, options?: CallOptions): Promise<TemplateRemoval> {
    const path = `/v1/templates/${encodeURIComponent(template)}`;
    return this.#api.json({ method: "DELETE", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** Removes kept steps that no built template needs. @param options dryRun: only say which. */
  prune(options: CallOptions & { dryRun?: boolean } = {}): Promise<TemplatePruneReport> {
    const { dryRun = false, ...call } = options;
    const how = { method: "POST", path: "/v1/templates/prune", answerDeadlineMs: SLOW_ANSWER_MS } as const;
    return this.#api.json({ ...how, json: { dryRun }, ...call });
  }
}

export function snapshotPath(snapshot: string, rest = ""): string {
  return `/v1/snapshots/${encodeURIComponent(snapshot)}${rest}`;
}

/** Immutable frozen machines. A snapshot is named by its id, a tag, or a unique prefix of the id. */
export class Snapshots {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  async list(options?: CallOptions): Promise<Snapshot[]> {
    const path = "/v1/snapshots";
    return (await this.#api.with<{ snapshots: Snapshot[] }>("snapshots", { method: "GET", path, ...options }))
      .snapshots;
  }

  /** Snapshots sorted by creation, a page at a time. */
  page(options: CallOptions & PageOptions = {}): Promise<SnapshotList> {
    const { limit, after, ...call } = options;
    const path = withQuery("/v1/snapshots", pageParameters({ limit, after }));
    return this.#api.json({ method: "GET", path, ...call });
  }

  get(snapshot: string, options?: CallOptions): Promise<Snapshot> {
    return this.#api.json({ method: "GET", path: snapshotPath(snapshot), ...options });
  }

  /** Packages that the machine had when it was frozen, and which are known to be outdated. */
  packages(snapshot: string, options?: CallOptions): Promise<SnapshotPackages> {
    return this.#api.json({ method: "GET", path: snapshotPath(snapshot, "/packages"), ...options });
  }

  /** Names a snapshot `tag`, e.g. `node:24`. */
  tag(snapshot: string, tag: string, options?: CallOptions): Promise<Snapshot> {
    const path = snapshotPath(snapshot, "/tags");
    return this.#api.json({ method: "POST", path, json: { tag }, ...options });
  }

  /** Reads every part and compares digests. */
  verify(snapshot: string, options?: CallOptions): Promise<VerifyReport> {
    const path = snapshotPath(snapshot, "/verify");
    return this.#api.json({ method: "POST", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** Removes a snapshot that nothing uses. When several tags name it, removes only the tag. */
  remove(snapshot: string, options?: CallOptions): Promise<void> {
    return this.#api.nothing({ method: "DELETE", path: snapshotPath(snapshot), ...options });
  }
}
