import type {
  Artifact,
  BuildRequest,
  Capture,
  CaptureCheck,
  CaptureList,
  CaptureQuery,
  CaptureVerifyReport,
  CreateRequest,
  DaemonInfo,
  DiskListing,
  DoctorReport,
  Event,
  Exec,
  ExecRequest,
  FileEntry,
  ForkRequest,
  FreezeRequest,
  ImportRequest,
  ImportState,
  MachineStats,
  Outline,
  OutlineCheck,
  Progress,
  PruneReport,
  PublishRequest,
  QuarantineEntry,
  Rerun,
  RerunRequest,
  RerunRun,
  RunRequest,
  Sandbox,
  Snapshot,
  StreamLine,
  Template,
  VerifyReport,
  WaitResult,
} from "../api/schema.ts";
import type { AttachTarget, ExecConnection, ExecHandlers } from "./channels.ts";
import { HalfAnswer } from "./connection-error.ts";
import { ThawError } from "./errors.ts";
import type { LogChunk, LogOptions } from "./logs.ts";
import { findPaths } from "./paths.ts";
import type { ReachOptions } from "./reach.ts";
import { readJson } from "./read-json.ts";
import { newRequestId } from "./request-id.ts";
import type { ApiRequest, Transport } from "./transport.ts";

/** What every call takes. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** What calls take that report progress. */
export interface ProgressOptions extends CallOptions {
  onProgress?: (progress: Progress) => void;
}

/** Where a tree or a file goes, or comes from. */
export interface PathOptions extends CallOptions {
  /** In the sandbox, absolute. */
  path: string;
}

export interface CapturedPathOptions extends PathOptions {
  /** Where to read from; default: the best that the daemon's host can. */
  level?: DiskListing["level"] | undefined;
}

/** A snapshot of a sandbox that went on. */
export interface Frozen {
  snapshot: Snapshot;
  /** For how long it stood still. */
  pauseMs: number;
  /** False when it had to be stopped to come to an end. */
  converged: boolean;
}

/** Children of a sandbox. */
export interface Forked {
  sandboxes: Sandbox[];
  /** For how long the parent stood still. */
  pauseMs: number;
  /** `freeze` where the host can't take a difference. */
  method: "difference" | "freeze";
}

/** A stream of bytes that can be begun anew. */
export type ByteSource = () => AsyncIterable<Uint8Array>;

function capturePath(capture: string, rest = ""): string {
  return `/v1/captures/${encodeURIComponent(capture)}${rest}`;
}

const verifyDeadlineMs = 600_000;
/** How long the daemon may take to undo a request that was aborted. */
const undoDeadlineMs = 25_000;

function withQuery(path: string, query: Record<string, string | undefined>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, value);
  return `${path}?${parameters}`;
}

function sandboxPath(sandbox: string, rest = ""): string {
  return `/v1/sandboxes/${encodeURIComponent(sandbox)}${rest}`;
}

function snapshotPath(snapshot: string, rest = ""): string {
  return `/v1/snapshots/${encodeURIComponent(snapshot)}${rest}`;
}

/**
 * The daemon's API, typed. Starts the daemon when there is none. A sandbox or snapshot is addressed by id, name or tag, or a unique
 * prefix of an id. Every method throws {@link ThawError}, or the signal's reason when aborted.
 */
export class ThawClient implements AsyncDisposable {
  readonly #options: ReachOptions;
  #transport: Promise<Transport> | undefined;

  /** @param options where the daemon is; default from `THAW_HOME`, `THAW_SOCKET` and the XDG variables. */
  constructor(options: Partial<ReachOptions> = {}) {
    this.#options = { ...findPaths(), ...options };
  }

  /** Where this client connects. */
  get options(): Readonly<ReachOptions> {
    return this.#options;
  }

  /** Closes the client's connections. */
  async close(): Promise<void> {
    const transport = await this.#transport;
    this.#transport = undefined;
    transport?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @param options anyVersion: ask even a daemon that is older than this client, rather than replace it. */
  getInfo(options?: CallOptions & { anyVersion?: boolean }): Promise<DaemonInfo> {
    return this.#json({ method: "GET", path: "/v1/info", ...options });
  }

  /** What the host has and lacks. */
  getDoctorReport(options?: CallOptions): Promise<DoctorReport> {
    return this.#json({ method: "GET", path: "/v1/doctor", ...options });
  }

  /** The OpenAPI document. */
  getOpenApi(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.#json({ method: "GET", path: "/v1/openapi.json", ...options });
  }

  /** Asks the daemon to end. Machines go on, and the next client's daemon adopts them. */
  shutDown(options?: CallOptions): Promise<void> {
    return this.#nothing({ method: "POST", path: "/v1/shutdown", repeatable: false, ...options });
  }

  async listTemplates(options?: CallOptions): Promise<Template[]> {
    return (await this.#json<{ templates: Template[] }>({ method: "GET", path: "/v1/templates", ...options }))
      .templates;
  }

  /** Builds a template into a snapshot; one that exists already is answered at once, unless `force` is set. */
  async buildTemplate(request: BuildRequest, options: ProgressOptions = {}): Promise<Snapshot> {
    const result = await this.#result("/v1/templates/build", request, options);
    if (result.snapshot === undefined)
      throw new ThawError("internal", "the daemon answered a build without a snapshot");
    return result.snapshot;
  }

  async listSnapshots(options?: CallOptions): Promise<Snapshot[]> {
    return (await this.#json<{ snapshots: Snapshot[] }>({ method: "GET", path: "/v1/snapshots", ...options }))
      .snapshots;
  }

  getSnapshot(snapshot: string, options?: CallOptions): Promise<Snapshot> {
    return this.#json({ method: "GET", path: snapshotPath(snapshot), ...options });
  }

  /** Names a snapshot `tag`, e.g. `node:24`. */
  tagSnapshot(snapshot: string, tag: string, options?: CallOptions): Promise<Snapshot> {
    return this.#json({ method: "POST", path: snapshotPath(snapshot, "/tags"), json: { tag }, ...options });
  }

  /** Reads every part and compares digests. */
  verifySnapshot(snapshot: string, options?: CallOptions): Promise<VerifyReport> {
    const path = snapshotPath(snapshot, "/verify");
    return this.#json({ method: "POST", path, answerDeadlineMs: verifyDeadlineMs, ...options });
  }

  /** Removes a snapshot that nothing uses; a tag, when several name the snapshot. */
  removeSnapshot(snapshot: string, options?: CallOptions): Promise<void> {
    return this.#nothing({ method: "DELETE", path: snapshotPath(snapshot), ...options });
  }

  /** State that could not be read and is kept, oldest first. */
  async listQuarantine(options?: CallOptions): Promise<QuarantineEntry[]> {
    const path = "/v1/quarantine";
    return (await this.#json<{ entries: QuarantineEntry[] }>({ method: "GET", path, ...options })).entries;
  }

  /** Puts an entry back in its place and has it read again. @param entry its id, or the unique id of the thing */
  restoreQuarantined(entry: string, options?: CallOptions): Promise<QuarantineEntry> {
    const path = `/v1/quarantine/${encodeURIComponent(entry)}/restore`;
    return this.#json({ method: "POST", path, json: {}, ...options });
  }

  /** Deletes an entry for good. */
  removeQuarantined(entry: string, options?: CallOptions): Promise<void> {
    const path = `/v1/quarantine/${encodeURIComponent(entry)}`;
    return this.#nothing({ method: "DELETE", path, ...options });
  }

  /** Thaws a sandbox; builds its template when there is no snapshot of it yet. */
  async createSandbox(request: CreateRequest = {}, options: ProgressOptions = {}): Promise<Sandbox> {
    const result = await this.#make("/v1/sandboxes", request, options);
    if (result.sandbox === undefined)
      throw new ThawError("internal", "the daemon answered without a sandbox");
    return result.sandbox;
  }

  /** @param options labels: `KEY=VALUE`, or `KEY` with any value; only sandboxes that fit them all. */
  async listSandboxes(
    options: CallOptions & { labels?: readonly string[] | undefined } = {},
  ): Promise<Sandbox[]> {
    const { labels = [], ...call } = options;
    const query = new URLSearchParams(labels.map((label): [string, string] => ["label", label]));
    const path = labels.length === 0 ? "/v1/sandboxes" : `/v1/sandboxes?${query}`;
    return (await this.#json<{ sandboxes: Sandbox[] }>({ method: "GET", path, ...call })).sandboxes;
  }

  getSandbox(sandbox: string, options?: CallOptions): Promise<Sandbox> {
    return this.#json({ method: "GET", path: sandboxPath(sandbox), ...options });
  }

  removeSandbox(sandbox: string, options?: CallOptions): Promise<void> {
    return this.#nothing({ method: "DELETE", path: sandboxPath(sandbox), ...options });
  }

  pauseSandbox(sandbox: string, options?: CallOptions): Promise<Sandbox> {
    return this.#json({ method: "POST", path: sandboxPath(sandbox, "/pause"), ...options });
  }

  resumeSandbox(sandbox: string, options?: CallOptions): Promise<Sandbox> {
    return this.#json({ method: "POST", path: sandboxPath(sandbox, "/resume"), ...options });
  }

  /** Puts a sandbox's hard end off by `byMs`. */
  extendSandbox(sandbox: string, byMs: number, options?: CallOptions): Promise<Sandbox> {
    const path = sandboxPath(sandbox, "/extend");
    return this.#json({ method: "POST", path, json: { byMs }, repeatable: false, ...options });
  }

  /** Waits until a sandbox is `stopped` (or failed, or removed), `removed`, or until an exec in it has ended. */
  waitForSandbox(
    sandbox: string,
    what: { for: "stopped" | "removed" } | { for: "exec"; exec: string },
    options: CallOptions & { timeoutMs?: number | undefined } = {},
  ): Promise<WaitResult> {
    const { timeoutMs, ...call } = options;
    const query = { ...what, timeoutMs: timeoutMs?.toString() };
    const path = withQuery(sandboxPath(sandbox, "/wait"), query);
    return this.#json({ method: "GET", path, answerDeadlineMs: 0, ...call });
  }

  /**
   * What happens on the host, as it happens. With `follow: false` it ends after what there is. A connection that breaks is made again,
   * from the last event on: none is missed or told twice.
   */
  async *events(
    options: CallOptions & {
      /** Events after this id; by default what happens from now on, or without `follow` all that is kept. */
      since?: number | undefined;
      /** Only of this sandbox and its execs. */
      sandbox?: string | undefined;
      follow?: boolean | undefined;
      /** What was asked for is not kept any more: events before `oldest` are missing. */
      onGap?: (gap: { since: number; oldest: number }) => void;
    } = {},
  ): AsyncGenerator<Event, void> {
    const { followEvents } = await import("./events.ts");
    yield* followEvents((path, signal) => this.#send({ method: "GET", path, signal }), options);
  }

  /** Makes a snapshot of a sandbox that goes on, and names it. */
  async freezeSandbox(
    sandbox: string,
    request: FreezeRequest,
    options: ProgressOptions = {},
  ): Promise<Frozen> {
    const result = await this.#make(sandboxPath(sandbox, "/freeze"), request, options);
    const { snapshot, pauseMs = 0, converged = true } = result;
    if (snapshot === undefined)
      throw new ThawError("internal", "the daemon answered a freeze without a snapshot");
    return { snapshot, pauseMs, converged };
  }

  /** Children of a sandbox as it is now; it goes on. */
  async forkSandbox(sandbox: string, request: ForkRequest, options: ProgressOptions = {}): Promise<Forked> {
    const result = await this.#make(sandboxPath(sandbox, "/fork"), request, options);
    const { sandboxes, pauseMs = 0, method = "freeze" } = result;
    if (sandboxes === undefined)
      throw new ThawError("internal", "the daemon answered a fork without sandboxes");
    return { sandboxes, pauseMs, method };
  }

  /** Failures that were kept, newest first. */
  listCaptures(query: CaptureQuery = {}, options?: CallOptions): Promise<CaptureList> {
    const asked = Object.entries(query).map(([name, value]): [string, string | undefined] => [
      name,
      value?.toString(),
    ]);
    const path = withQuery("/v1/captures", Object.fromEntries(asked));
    return this.#json({ method: "GET", path, ...options });
  }

  /** @param capture its id, a unique beginning of that, or `latest` */
  getCapture(capture: string, options?: CallOptions): Promise<Capture> {
    return this.#json({ method: "GET", path: capturePath(capture), ...options });
  }

  /** At which levels it can be replayed on the daemon's host, and why not at others. */
  checkCapture(capture: string, options?: CallOptions): Promise<CaptureCheck> {
    return this.#json({ method: "GET", path: capturePath(capture, "/check"), ...options });
  }

  /** Reads every part, compares digests, and thaws it on trial. */
  verifyCapture(capture: string, options?: CallOptions): Promise<CaptureVerifyReport> {
    const path = capturePath(capture, "/verify");
    return this.#json({ method: "POST", path, answerDeadlineMs: verifyDeadlineMs, ...options });
  }

  /** Reads a core file: of the process that crashed, or of the whole memory after a kernel's panic. Its bytes are the guest's. */
  async *getCore(capture: string, options?: CallOptions): AsyncGenerator<Buffer, void> {
    const path = capturePath(capture, "/core");
    yield* await this.#send({ method: "GET", path, answerDeadlineMs: verifyDeadlineMs, ...options });
  }

  /**
   * What is at a path of a capture, and in it when it is a folder; links are not followed. Read from the machine as it was where that can be
   * thawed here, else from its disk, which may be older.
   */
  listCapturedFiles(capture: string, options: CapturedPathOptions): Promise<DiskListing> {
    const { path, level, ...call } = options;
    const url = withQuery(capturePath(capture, "/list"), { path, level });
    return this.#json({ method: "GET", path: url, answerDeadlineMs: verifyDeadlineMs, ...call });
  }

  /** Reads a file of a capture, from where `listCapturedFiles` looks. */
  async *getCapturedFile(capture: string, options: CapturedPathOptions): AsyncGenerator<Buffer, void> {
    const { path, level, ...call } = options;
    const url = withQuery(capturePath(capture, "/files"), { path, level });
    yield* await this.#send({ method: "GET", path: url, answerDeadlineMs: verifyDeadlineMs, ...call });
  }

  /** The files of a captured machine, as those of a sandbox are read. Only where its memory can be thawed: `unsupported` elsewhere. */
  capturedMachine(): Pick<ThawClient, "statFile" | "getFile" | "getTree"> {
    const url = (capture: string, what: string, path: string): string =>
      withQuery(capturePath(capture, what), { path, ...(what === "/tree" ? { attributes: "1" } : {}) });
    const slow = { method: "GET", answerDeadlineMs: verifyDeadlineMs } as const;
    const bytes = (path: string, call: CallOptions) => this.#send({ ...slow, path, ...call });
    return {
      statFile: (capture, { path, ...call }) =>
        this.#json({ ...slow, path: url(capture, "/stat", path), ...call }),
      getFile: (capture, { path, ...call }) =>
        this.getCapturedFile(capture, { path, level: "memory", ...call }),
      getTree: async function* (capture, { path, ...call }) {
        yield* await bytes(url(capture, "/tree", path), call);
      },
    };
  }

  /** Runs a capture's command again, many times, from the state just before it. */
  async rerunCapture(
    capture: string,
    request: RerunRequest,
    options: ProgressOptions & { onRun?: (run: RerunRun) => void } = {},
  ): Promise<Rerun> {
    const { rerun } = await this.#result(capturePath(capture, "/rerun"), request, options);
    if (rerun === undefined) throw new ThawError("internal", "the daemon answered a rerun without its runs");
    return rerun;
  }

  /** What could be made of a capture on the daemon's host that is in a store, by what the store says of it and of its base. */
  checkOutline(capture: Outline, base: Outline | null, options?: CallOptions): Promise<OutlineCheck> {
    return this.#json({ method: "POST", path: "/v1/captures/check", json: { capture, base }, ...options });
  }

  /** Describes a capture or snapshot as it travels. Takes as long as compressing a snapshot does, the first time. */
  async exportArtifact(
    kind: Artifact["kind"],
    reference: string,
    options: ProgressOptions & { publish?: PublishRequest | undefined } = {},
  ): Promise<Artifact> {
    const { publish = {}, ...rest } = options;
    const path = kind === "capture" ? capturePath(reference, "/export") : snapshotPath(reference, "/export");
    const { artifact } = await this.#result(path, kind === "capture" ? publish : {}, rest);
    if (artifact === undefined)
      throw new ThawError("internal", "the daemon answered an export without a description");
    return artifact;
  }

  /** A capture that does not need the QEMU build it was taken by: itself, or one made of it. */
  async makeWhole(reference: string, options: ProgressOptions = {}): Promise<Capture> {
    const { capture } = await this.#result(capturePath(reference, "/whole"), {}, options);
    if (capture === undefined) throw new ThawError("internal", "the daemon answered without a capture");
    return capture;
  }

  /** A part as it travels. @param options `publish`: as for the capture's description; `from`: bytes to leave out at its beginning */
  async *getPart(
    { kind, id }: Pick<Artifact, "kind" | "id">,
    name: string,
    options: CallOptions & { publish?: PublishRequest | undefined; from?: number } = {},
  ): AsyncGenerator<Buffer, void> {
    const { publish: { diskOnly, allow } = {}, from, ...rest } = options;
    const path = (kind === "capture" ? capturePath : snapshotPath)(id, `/parts/${encodeURIComponent(name)}`);
    const start = from === undefined || from === 0 ? undefined : String(from);
    const query = { from: start, diskOnly: diskOnly === true ? "1" : undefined, allow: allow?.join(",") };
    yield* await this.#send({
      method: "GET",
      path: withQuery(path, kind === "capture" ? query : { from: start }),
      ...rest,
    });
  }

  /** Begins to bring a capture or snapshot to the daemon's host, or goes on where it was left. */
  beginImport(request: ImportRequest, options?: CallOptions): Promise<ImportState> {
    return this.#json({ method: "POST", path: "/v1/imports", json: request, ...options });
  }

  /** Sends a part, from byte `from` on. What came before a break is kept. */
  async putPart(
    key: string,
    name: string,
    from: number,
    bytes: ByteSource,
    options?: CallOptions,
  ): Promise<void> {
    const path = withQuery(`/v1/imports/${key}/parts/${encodeURIComponent(name)}`, { from: String(from) });
    // From another byte on next time: beginImport says from which.
    const how = { answerDeadlineMs: 0, repeatable: false };
    await this.#nothing({ method: "PUT", path, stream: bytes, ...how, ...options });
  }

  /** Checks and publishes what was sent. @returns its id */
  async commitImport(
    key: string,
    options: ProgressOptions = {},
  ): Promise<{ snapshot?: Snapshot; capture?: Capture }> {
    const { snapshot, capture } = await this.#result(
      `/v1/imports/${key}/commit`,
      {},
      // An import that was published is gone: beginImport says that it is here.
      { ...options, repeatable: false },
    );
    return { ...(snapshot === undefined ? {} : { snapshot }), ...(capture === undefined ? {} : { capture }) };
  }

  /** Keeps it whatever the retention says, or no longer. */
  pinCapture(capture: string, pinned: boolean, options?: CallOptions): Promise<Capture> {
    return this.#json({ method: "PUT", path: capturePath(capture, "/pin"), json: { pinned }, ...options });
  }

  removeCapture(capture: string, options?: CallOptions): Promise<void> {
    return this.#nothing({ method: "DELETE", path: capturePath(capture), ...options });
  }

  /** Removes captures over the host's budgets, and snapshots that nothing needs. `dryRun`: only says what. */
  prune(dryRun: boolean, options?: CallOptions): Promise<PruneReport> {
    const how = { method: "POST", path: "/v1/prune", answerDeadlineMs: verifyDeadlineMs } as const;
    return this.#json({ ...how, json: { dryRun }, ...options });
  }

  /** Captures a sandbox as it is now; it goes on. */
  captureSandbox(sandbox: string, options?: CallOptions): Promise<Capture> {
    const request = newRequestId();
    return this.#json({ method: "POST", path: sandboxPath(sandbox, "/captures"), request, ...options });
  }

  /** What the sandbox's machine uses of the host. */
  getStats(sandbox: string, options?: CallOptions): Promise<MachineStats> {
    return this.#json({ method: "GET", path: sandboxPath(sandbox, "/stats"), ...options });
  }

  /** Starts a command, detached. When aborted meanwhile, it is killed if it was started. */
  startExec(sandbox: string, request: ExecRequest, options: CallOptions = {}): Promise<Exec> {
    const { id = newRequestId() } = request;
    const path = sandboxPath(sandbox, "/execs");
    return this.#undone(id, options, () =>
      this.#json({ method: "POST", path, json: { ...request, id }, ...options }),
    );
  }

  getExec(sandbox: string, exec: string, options?: CallOptions): Promise<Exec> {
    return this.#json({
      method: "GET",
      path: sandboxPath(sandbox, `/execs/${encodeURIComponent(exec)}`),
      ...options,
    });
  }

  /** Sends a signal, e.g. `TERM`, to an exec's process group, or to its whole tree. */
  signalExec(
    target: { sandbox: string; exec: string; signal: string; to?: "group" | "tree" },
    options?: CallOptions,
  ): Promise<void> {
    const path = sandboxPath(target.sandbox, `/execs/${encodeURIComponent(target.exec)}/signal`);
    const json = { signal: target.signal, ...(target.to === undefined ? {} : { to: target.to }) };
    return this.#nothing({ method: "POST", path, json, ...options });
  }

  /**
   * Reads an exec's output, with its times, as far as it is kept; `droppedUntil` says where some is missing. Survives a restart of the daemon.
   * @returns the exec as it was at the end of the log.
   */
  async *getLog(
    target: { sandbox: string; exec: string },
    options: LogOptions = {},
  ): AsyncGenerator<LogChunk | { channel: "stdout" | "stderr"; droppedUntil: number }, Exec> {
    const path = sandboxPath(target.sandbox, `/execs/${encodeURIComponent(target.exec)}/logs`);
    const { signal } = options;
    const { readLog } = await import("./logs.ts");
    return yield* readLog(
      (query) => this.#send({ method: "GET", path: withQuery(path, query), signal }),
      options,
    );
  }

  /** Connects to an exec's streams. */
  async attach(target: AttachTarget, handlers: ExecHandlers): Promise<ExecConnection> {
    const { ExecConnection } = await import("./channels.ts");
    return new ExecConnection(this.#options, { attach: target }, handlers).open();
  }

  /** Thaws a sandbox, runs a command in it and removes it when this connection ends, whatever way. */
  async run(request: RunRequest, handlers: ExecHandlers): Promise<ExecConnection> {
    const { ExecConnection } = await import("./channels.ts");
    return new ExecConnection(this.#options, { run: request }, handlers).open();
  }

  /**
   * Sends a tree stream; it is unpacked beneath `path`, owned by `user` when given.
   * @param options keep: it is what a command starts from, and belongs to the capture of its failure
   */
  putTree(
    sandbox: string,
    tree: ByteSource,
    options: PathOptions & { user?: string | undefined; keep?: boolean },
  ): Promise<{ entries: number; bytes: number }> {
    const { path, user, keep, ...call } = options;
    const url = withQuery(sandboxPath(sandbox, "/tree"), {
      path,
      user,
      keep: keep === true ? "1" : undefined,
    });
    return this.#json({ method: "PUT", path: url, stream: tree, answerDeadlineMs: 0, ...call });
  }

  /** Reads a tree stream. Its bytes are the guest's: unpack them with `unpackTree` only. */
  async *getTree(sandbox: string, options: PathOptions): AsyncGenerator<Buffer, void> {
    const { path, ...call } = options;
    const body = await this.#send({
      method: "GET",
      path: withQuery(sandboxPath(sandbox, "/tree"), { path, attributes: "1" }),
      ...call,
    });
    yield* body;
  }

  /** Writes a file. @param options mode: permission bits, default 0644 for a new one. user: whose it is to be, default root's. */
  putFile(
    sandbox: string,
    bytes: ByteSource,
    options: PathOptions & { mode?: number | undefined; user?: string | undefined },
  ): Promise<void> {
    const { path, mode, user, ...call } = options;
    const octal = mode?.toString(8).padStart(3, "0");
    const url = withQuery(sandboxPath(sandbox, "/files"), { path, mode: octal, user });
    return this.#nothing({ method: "PUT", path: url, stream: bytes, answerDeadlineMs: 0, ...call });
  }

  /** Reads a file. */
  async *getFile(sandbox: string, options: PathOptions): AsyncGenerator<Buffer, void> {
    const { path, ...call } = options;
    const body = await this.#send({
      method: "GET",
      path: withQuery(sandboxPath(sandbox, "/files"), { path }),
      ...call,
    });
    yield* body;
  }

  statFile(sandbox: string, options: PathOptions): Promise<FileEntry> {
    const { path, ...call } = options;
    return this.#json({ method: "GET", path: withQuery(sandboxPath(sandbox, "/stat"), { path }), ...call });
  }

  listFolder(sandbox: string, options: PathOptions): Promise<{ entries: FileEntry[]; truncated: boolean }> {
    const { path, ...call } = options;
    return this.#json({ method: "GET", path: withQuery(sandboxPath(sandbox, "/list"), { path }), ...call });
  }

  /** A request that makes sandboxes or snapshots: repeated, it makes nothing twice; aborted, nothing is left. */
  #make(path: string, json: unknown, options: ProgressOptions): Promise<StreamLine & { type: "result" }> {
    const request = newRequestId();
    return this.#undone(request, options, () => this.#result(path, json, { ...options, request }));
  }

  /** Does `work`; when it is aborted, calls the request off, which may have reached the daemon or not. */
  async #undone<T>(request: string, { signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted) {
        const path = `/v1/requests/${request}`;
        // Whatever it fails with, the caller is told why it was aborted.
        await this.#nothing({ method: "DELETE", path, answerDeadlineMs: undoDeadlineMs }).catch(() => {});
      }
      throw error;
    }
  }

  async #connect(): Promise<Transport> {
    this.#transport ??= import("./transport.ts").then(({ Transport }) => new Transport(this.#options));
    return this.#transport;
  }

  async #send(request: ApiRequest): Promise<AsyncGenerator<Buffer, void>> {
    return (await this.#connect()).request(request);
  }

  async #json<T>(request: ApiRequest): Promise<T> {
    return (await (await this.#connect()).ask(request, readJson)) as T;
  }

  async #nothing(request: ApiRequest): Promise<void> {
    const { drain } = await import("./transport.ts");
    await (await this.#connect()).ask(request, drain);
  }

  /** Follows an ndjson answer to its result. */
  async #result(
    path: string,
    json: unknown,
    options: ProgressOptions & { onRun?: (run: RerunRun) => void; repeatable?: boolean; request?: string },
  ): Promise<StreamLine & { type: "result" }> {
    const { onProgress, onRun, ...how } = options;
    const { parseLines } = await import("./ndjson.ts");
    const read = async (body: AsyncIterable<Buffer>): Promise<StreamLine & { type: "result" }> => {
      for await (const parsed of parseLines(body)) {
        const line = parsed as StreamLine;
        if (line.type === "result") return line;
        if (line.type === "error") throw ThawError.fromApi(line, "the daemon reported an error");
        if (line.type === "run") onRun?.(line.run);
        else onProgress?.(line);
      }
      throw new HalfAnswer();
    };
    return (await this.#connect()).ask({ method: "POST", path, json, answerDeadlineMs: 0, ...how }, read);
  }
}
