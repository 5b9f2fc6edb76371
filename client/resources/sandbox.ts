import type {
  CacheSaved,
  Capture,
  Exec as ExecInfo,
  ExecList,
  ExecRequest,
  ExecResult,
  ForkRequest,
  GuestReport,
  MachineStats,
  PatchRequest,
  RunOnceRequest,
  Sandbox as SandboxInfo,
  Snapshot,
  WaitResult,
} from "../../api/schema.ts";
import {
  type ApiCalls,
  type CallOptions,
  type ProgressOptions,
  SLOW_ANSWER_MS,
  withQuery,
} from "../api-calls.ts";
import { checkCommand } from "../check-command.ts";
import { ThawError } from "../errors.ts";
import { type PageOptions, pageParameters } from "../pages.ts";
import { Exec, ExecReference, type StartOptions } from "./exec.ts";
import { Files } from "./files.ts";
import { Network } from "./network.ts";
import { Ports } from "./ports.ts";
import { Previews } from "./previews.ts";
import { sandboxPath } from "./sandbox-path.ts";

/** How a command is run to its end. */
export interface RunOptions extends Omit<RunOnceRequest, "argv">, CallOptions {}

/** A snapshot of a sandbox that went on. */
export interface Frozen {
  snapshot: Snapshot;
  /** For how long the sandbox stood still. */
  pauseMs: number;
  /** False when the sandbox had to be stopped for the copy to come to an end. */
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

/** A sandbox that is named, whether it is there or not: by its id, its name, or a unique prefix of its id. */
export class SandboxReference {
  protected readonly api: ApiCalls;
  readonly #reference: string;
  /** Its files. */
  readonly files: Files;
  /** What it may reach, and what it did. */
  readonly network: Network;
  /** Ports of the host that lead into it. */
  readonly ports: Ports;
  /** What listens in it, shown in browsers. */
  readonly previews: Previews;

  /** Made by `thaw.sandboxes`. */
  constructor(api: ApiCalls, reference: string) {
    this.api = api;
    this.#reference = reference;
    this.files = new Files(api, sandboxPath(reference));
    this.network = new Network(api, sandboxPath(reference));
    this.ports = new Ports(api, sandboxPath(reference));
    this.previews = new Previews(api, sandboxPath(reference));
  }

  /** Starts a command. Aborted meanwhile, it leaves no command behind. @throws ThawError `exec-not-found`, `exec-not-executable` */
  async start(argv: readonly string[], options: StartOptions = {}): Promise<Exec> {
    const { signal, ...request } = options;
    const info = await this.startDetached({ argv: [...argv], ...request }, { signal });
    return new Exec(this.api, info, { writer: true });
  }

  /**
   * Runs a command to its end. Aborted, it leaves no command behind.
   * @returns its exit code and its output, at most `maxOutputBytes` of each channel (default 1 MiB, at most 16 MiB)
   */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<ExecResult> {
    const { signal, id = this.api.transport.newId(), ...request } = options;
    const json = { argv: [...argv], ...request, id };
    checkCommand(json);
    const how = { method: "POST", path: this.#path("/exec"), answerDeadlineMs: 0, signal } as const;
    return this.api.undone(id, { signal }, () => this.api.json({ ...how, json }));
  }

  /** Starts a command as an API request has it, and leaves it alone. Aborted meanwhile, it leaves no command behind. */
  async startDetached(request: ExecRequest, options: CallOptions = {}): Promise<ExecInfo> {
    checkCommand(request);
    const { id = this.api.transport.newId() } = request;
    const json = { ...request, id };
    return this.api.undone(id, options, () =>
      this.api.json({ method: "POST", path: this.#path("/execs"), json, ...options }),
    );
  }

  /** The sandbox's commands, as long as their logs are kept. */
  async execs(options?: CallOptions): Promise<ExecInfo[]> {
    const path = this.#path("/execs");
    return (await this.api.with<{ execs: ExecInfo[] }>("execs", { method: "GET", path, ...options })).execs;
  }

  /** The same, sorted by their start, a page at a time. */
  execPage(options: CallOptions & PageOptions = {}): Promise<ExecList> {
    const { limit, after, ...call } = options;
    const path = withQuery(this.#path("/execs"), pageParameters({ limit, after }));
    return this.api.json({ method: "GET", path, ...call });
  }

  /** Keeps its cached folders as they are now, unless those of their key are kept already. */
  saveCache(options?: CallOptions): Promise<CacheSaved> {
    const path = this.#path("/cache");
    return this.api.json({ method: "POST", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** Sets labels; null removes one. The others stay. */
  setLabels(labels: PatchRequest["labels"], options?: CallOptions): Promise<SandboxInfo> {
    return this.api.json({ method: "PATCH", path: this.#path(), json: { labels }, ...options });
  }

  /** Sets timers, as a creation has them (null: never), and labels at once. What is not named stays. */
  change(changes: Omit<PatchRequest, "name">, options?: CallOptions): Promise<SandboxInfo> {
    return this.api.json({ method: "PATCH", path: this.#path(), json: changes, ...options });
  }

  /** A command by its id, without asking whether it is there. */
  execAt(id: string): ExecReference {
    return new ExecReference(this.api, { sandbox: this.#reference, id });
  }

  /** Stops the sandbox's clock. Its memory stays allocated. */
  pause(options?: CallOptions): Promise<SandboxInfo> {
    return this.#post("/pause", options);
  }

  /** Lets a paused or frozen sandbox go on. */
  resume(options?: CallOptions): Promise<SandboxInfo> {
    return this.#post("/resume", options);
  }

  /** Keeps the sandbox on disk and ends its machine; `resume`, or any request to it, lets it go on where it was. */
  stop(options?: CallOptions): Promise<SandboxInfo> {
    const path = this.#path("/stop");
    return this.api.json({ method: "POST", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** Gives the sandbox another name. @throws ThawError `conflict` when it is taken */
  rename(name: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.api.json({ method: "PATCH", path: this.#path(), json: { name }, ...options });
  }

  /** Extends the sandbox's time to live by `byMs`. @throws ThawError `conflict` when it has none */
  extend(byMs: number, options?: CallOptions): Promise<SandboxInfo> {
    const path = this.#path("/extend");
    return this.api.json({ method: "POST", path, json: { byMs }, ...options });
  }

  /** Waits until the sandbox is `stopped` (or failed, or removed), `removed`, or until an exec in it has ended. */
  wait(
    what: { for: "stopped" | "removed" } | { for: "exec"; exec: string } = { for: "stopped" },
    options: CallOptions & { timeoutMs?: number | undefined } = {},
  ): Promise<WaitResult> {
    const { timeoutMs, ...call } = options;
    const path = withQuery(this.#path("/wait"), { ...what, timeoutMs: timeoutMs?.toString() });
    return this.api.json({ method: "GET", path, answerDeadlineMs: 0, ...call });
  }

  /** Makes a snapshot of the sandbox and names it `tag`. The sandbox goes on. */
  async freeze(tag: string, options: ProgressOptions = {}): Promise<Frozen> {
    const result = await this.api.make("snapshot", this.#path("/freeze"), { tag }, options);
    const { snapshot, pauseMs = 0, converged = true } = result;
    return { snapshot, pauseMs, converged };
  }

  /** Makes children of the sandbox as it is now: all of them, or none. The sandbox goes on. */
  async fork(request: ForkRequest = {}, options: ProgressOptions = {}): Promise<Forked> {
    const result = await this.api.make("sandboxes", this.#path("/fork"), request, options);
    const { sandboxes, pauseMs = 0, method = "freeze" } = result;
    return { sandboxes: sandboxes.map((info) => new Sandbox(this.api, info)), pauseMs, method };
  }

  /** Captures the sandbox as it is now. The sandbox goes on. Aborted meanwhile, no capture is left. */
  capture(options: CallOptions = {}): Promise<Capture> {
    const request = this.api.transport.newId();
    const how = { method: "POST", path: this.#path("/captures"), request, ...options } as const;
    return this.api.undone(request, options, () => this.api.json(how));
  }

  /** What the sandbox's machine uses of the host. */
  stats(options?: CallOptions): Promise<MachineStats> {
    return this.api.json({ method: "GET", path: this.#path("/stats"), ...options });
  }

  /** What runs and listens in it, as its guest tells it: don't trust it. Empty while it does not run. */
  processes(options?: CallOptions): Promise<GuestReport> {
    return this.api.json({ method: "GET", path: this.#path("/processes"), ...options });
  }

  remove(options?: CallOptions): Promise<void> {
    return this.api.nothing({ method: "DELETE", path: this.#path(), ...options });
  }

  #path(rest = ""): string {
    return sandboxPath(this.#reference, rest);
  }

  #post(rest: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.api.json({ method: "POST", path: this.#path(rest), ...options });
  }
}

/** A sandbox. `await using` removes it at the end of the block. */
export class Sandbox extends SandboxReference implements AsyncDisposable {
  #info: SandboxInfo;

  /** Made by `thaw.sandboxes`. */
  constructor(api: ApiCalls, info: SandboxInfo) {
    super(api, info.id);
    this.#info = info;
  }

  get id(): string {
    return this.#info.id;
  }

  get name(): string {
    return this.#info.name;
  }

  /** The sandbox as it was when this object was made, or at the last `refresh`. */
  get info(): SandboxInfo {
    return this.#info;
  }

  /** Asks for the sandbox again. */
  async refresh(options?: CallOptions): Promise<SandboxInfo> {
    this.#info = await this.api.json({ method: "GET", path: sandboxPath(this.id), ...options });
    return this.#info;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove().catch((error: unknown) => {
      if (!(error instanceof ThawError && error.code === "not-found")) throw error;
    });
  }
}
