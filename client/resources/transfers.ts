import type {
  Artifact,
  Capture,
  ImportRequest,
  ImportState,
  PublishRequest,
  PushedByHost,
  Snapshot,
} from "../../api/schema.ts";
import {
  type ApiCalls,
  type ByteSource,
  type CallOptions,
  type ProgressOptions,
  withQuery,
} from "../api-calls.ts";
import { capturePath } from "./captures.ts";
import { snapshotPath } from "./snapshots.ts";

/** Snapshots and captures as they travel, part by part. `push` and `pull` carry whole ones to and from stores. */
export class Transfers {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  /** Describes a capture or snapshot as it travels. Compresses a snapshot the first time. */
  async export(
    kind: Artifact["kind"],
    reference: string,
    options: ProgressOptions & { publish?: PublishRequest | undefined } = {},
  ): Promise<Artifact> {
    const { publish = {}, ...rest } = options;
    const path = kind === "capture" ? capturePath(reference, "/export") : snapshotPath(reference, "/export");
    return (await this.#api.result("artifact", path, kind === "capture" ? publish : {}, rest)).artifact;
  }

  /** Stores that the host's configuration names: the host itself can push there. */
  async stores(options?: CallOptions): Promise<string[]> {
    return (
      await this.#api.with<{ stores: string[] }>("stores", { method: "GET", path: "/v1/stores", ...options })
    ).stores;
  }

  /** Has the host push to one of its stores. Other stores: `push`. @throws ThawError `not-found`, `secrets-found`, `store-unreachable`, `store-denied` */
  async pushByHost(
    kind: Artifact["kind"],
    reference: string,
    store: string,
    options: ProgressOptions = {},
  ): Promise<PushedByHost> {
    const path = (kind === "capture" ? capturePath : snapshotPath)(reference, "/push");
    return (await this.#api.result("pushed", path, { store }, options)).pushed;
  }

  /** A part as it travels. @param options `publish`: as for the capture's description; `from`: bytes to leave out at its beginning */
  readPart(
    { kind, id }: Pick<Artifact, "kind" | "id">,
    name: string,
    options: CallOptions & { publish?: PublishRequest | undefined; from?: number } = {},
  ): AsyncGenerator<Uint8Array, void> {
    const { publish: { diskOnly, allow } = {}, from, ...rest } = options;
    const path = (kind === "capture" ? capturePath : snapshotPath)(id, `/parts/${encodeURIComponent(name)}`);
    const start = from === undefined || from === 0 ? undefined : String(from);
    const query = { from: start, diskOnly: diskOnly === true ? "1" : undefined, allow: allow?.join(",") };
    const url = withQuery(path, kind === "capture" ? query : { from: start });
    return this.#api.bytes({ method: "GET", path: url, ...rest });
  }

  /** Begins to bring a capture or snapshot to the daemon's host, or goes on where it was left. */
  beginImport(request: ImportRequest, options?: CallOptions): Promise<ImportState> {
    return this.#api.json({ method: "POST", path: "/v1/imports", json: request, ...options });
  }

  /** Sends a part, from byte `from` on. What came before a break is kept. */
  async writePart(
    key: string,
    name: string,
    part: { from: number; bytes: ByteSource },
    options?: CallOptions,
  ): Promise<void> {
    const { from, bytes } = part;
    const path = withQuery(`/v1/imports/${key}/parts/${encodeURIComponent(name)}`, { from: String(from) });
    // From another byte on next time: beginImport says from which.
    const how = { answerDeadlineMs: 0, repeatable: false };
    await this.#api.nothing({ method: "PUT", path, stream: bytes, ...how, ...options });
  }

  /** Checks and publishes what was sent. */
  async commitImport(
    key: string,
    options: ProgressOptions = {},
  ): Promise<{ snapshot?: Snapshot | undefined; capture?: Capture | undefined }> {
    // Not repeated: an import that was published is gone, and beginImport says that it is here.
    const how = { ...options, repeatable: false };
    return this.#api.result("type", `/v1/imports/${key}/commit`, {}, how);
  }
}
