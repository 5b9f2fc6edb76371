import type {
  AuditPage,
  DaemonInfo,
  DiskUse,
  DoctorReport,
  HostLimits,
  PruneReport,
  QuarantineEntry,
} from "../../api/schema.ts";
import { type ApiCalls, type CallOptions, SLOW_ANSWER_MS, withQuery } from "../api-calls.ts";

/** The daemon and its host. */
export class Host {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  /** @param options anyVersion: ask even a daemon that is older than this client, rather than replace it. */
  info(options?: CallOptions & { anyVersion?: boolean }): Promise<DaemonInfo> {
    return this.#api.json({ method: "GET", path: "/v1/info", ...options });
  }

  /** What the host has and lacks. */
  doctor(options?: CallOptions): Promise<DoctorReport> {
    return this.#api.json({ method: "GET", path: "/v1/doctor", ...options });
  }

  /** What the host's operator allows, and what is left of it. */
  limits(options?: CallOptions): Promise<HostLimits> {
    return this.#api.json({ method: "GET", path: "/v1/limits", ...options });
  }

  /** Who did what, newest first. @param options before: `next` of the page before; limit: at most 1000, default 200 */
  audit(options: CallOptions & { limit?: number; before?: number } = {}): Promise<AuditPage> {
    const { limit, before, ...call } = options;
    const path = withQuery("/v1/audit", { limit: limit?.toString(), before: before?.toString() });
    return this.#api.json({ method: "GET", path, ...call });
  }

  /** What takes the host's disk, and what `prune` would free of it. */
  disk(options?: CallOptions): Promise<DiskUse> {
    return this.#api.json({ method: "GET", path: "/v1/disk", answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** The API's OpenAPI document. */
  openApi(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.#api.json({ method: "GET", path: "/v1/openapi.json", ...options });
  }

  /** Ends the daemon. Machines go on, and the next client's daemon adopts them. */
  shutDown(options?: CallOptions): Promise<void> {
    return this.#api.nothing({ method: "POST", path: "/v1/shutdown", repeatable: false, ...options });
  }

  /** Removes captures over the host's budgets, and snapshots that nothing needs. @param options dryRun: only say which. */
  prune(options: CallOptions & { dryRun?: boolean } = {}): Promise<PruneReport> {
    const { dryRun = false, ...call } = options;
    const how = { method: "POST", path: "/v1/prune", answerDeadlineMs: SLOW_ANSWER_MS } as const;
    return this.#api.json({ ...how, json: { dryRun }, ...call });
  }
}

/** State that could not be read and is kept: damaged records, or those of a newer version. */
export class Quarantine {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  /** Oldest first. */
  async list(options?: CallOptions): Promise<QuarantineEntry[]> {
    const path = "/v1/quarantine";
    return (
      await this.#api.with<{ entries: QuarantineEntry[] }>("entries", { method: "GET", path, ...options })
    ).entries;
  }

  /** Puts an entry back in its place and reads it again. @param entry its id, or the unique id of the thing */
  restore(entry: string, options?: CallOptions): Promise<QuarantineEntry> {
    const path = `/v1/quarantine/${encodeURIComponent(entry)}/restore`;
    return this.#api.json({ method: "POST", path, json: {}, ...options });
  }

  /** Deletes an entry for good. */
  remove(entry: string, options?: CallOptions): Promise<void> {
    const path = `/v1/quarantine/${encodeURIComponent(entry)}`;
    return this.#api.nothing({ method: "DELETE", path, ...options });
  }
}
