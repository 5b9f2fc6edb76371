import { channel, closeCode } from "../api/channels.ts";
import type { ControlMessage, Exec, RunRequest, StatusMessage } from "../api/schema.ts";
import { Acknowledger } from "./acknowledger.ts";
import { END_OF_STDIN, encodeControl, encodeResize, encodeStdin } from "./channel-message.ts";
import { ThawError } from "./errors.ts";
import { OutputChannel, type OutputConsumer } from "./output-channel.ts";
import { pause } from "./pause.ts";
import { reconnect, Trouble } from "./reconnect.ts";
import { StdinWindow } from "./stdin-window.ts";
import {
  type ClientSocket,
  drain,
  type ExecWish,
  type SocketListener,
  type SocketRequest,
  type Transport,
} from "./transport.ts";

/** Which exec to attach to, and from where. */
export interface AttachTarget {
  sandbox: string;
  exec: string;
  /** Offsets of stdout and stderr to go on from. Default 0. */
  out?: number;
  err?: number;
  /** Be the exec's writer: the one whose stdin, signals and sizes it gets. */
  stdin?: boolean;
  /** Take over the sandbox's lease. */
  lease?: boolean;
  /** Instead of offsets: this many bytes of what was written last, from the start of a line on. */
  scrollback?: number;
  /** Become the writer though somebody else is; without it, a client that comes second watches. */
  takeover?: boolean;
  /** With `lease`: how long to be waited for when the connection breaks. */
  returnMs?: number;
  /** What to be called towards others on the exec, e.g. `ann@laptop`. */
  as?: string;
}

/** Who gets what of an exec. */
export interface ExecHandlers {
  stdout?: OutputConsumer;
  stderr?: OutputConsumer;
  /** Everything else the daemon says: progress, created, started, dropped. */
  onStatus?: (message: StatusMessage) => void;
  /** The connection broke: it is made again. `attached` is the first message of the next one. */
  onBroken?: () => void;
  signal?: AbortSignal | undefined;
}

const ignore = (): void => {};
const decoder = new TextDecoder();
/** The daemon closes right after it has told the exit. */
const CLOSE_DEADLINE_MS = 1000;
const REMOVE_DEADLINE_MS = 10_000;
/** How long a far daemon keeps a leased sandbox whose connection broke: somewhat more than we try to reconnect. */
const FAR_RETURN_MS = 15_000;

function attachPath(target: AttachTarget): string {
  const query = new URLSearchParams({ out: String(target.out ?? 0), err: String(target.err ?? 0) });
  if (target.stdin === true) query.set("stdin", "1");
  if (target.lease === true) query.set("lease", "1");
  if (target.returnMs !== undefined) query.set("returnMs", String(target.returnMs));
  if (target.scrollback !== undefined) query.set("scrollback", String(target.scrollback));
  if (target.takeover === true) query.set("takeover", "1");
  if (target.as !== undefined) query.set("as", target.as.slice(0, 128));
  return `/v1/sandboxes/${encodeURIComponent(target.sandbox)}/execs/${encodeURIComponent(target.exec)}/attach?${query}`;
}

/** How an exec's connection reaches the daemon. */
export interface ExecLink {
  transport: Transport;
  /**
   * Opens a WebSocket.
   * @throws ThawError when the daemon answers with an error, or is not there; the signal's reason when aborted.
   */
  openSocket: (request: SocketRequest) => Promise<void>;
}

/**
 * One exec's streams over one connection at a time. Survives a restart of the daemon: reconnects for up to 10 s and goes on at the byte
 * offsets where it was, both ways.
 */
export class ExecConnection {
  readonly #link: ExecLink;
  readonly #handlers: ExecHandlers;
  readonly #out: OutputChannel;
  readonly #err: OutputChannel;
  readonly #acks = new Acknowledger((out, err) => this.#control({ type: "ack", out, err }));
  readonly #stdin = new StdinWindow();
  readonly #result = Promise.withResolvers<Exec>();
  readonly #run: RunRequest | undefined;
  /** Of the run. A run whose daemon was killed is asked for again: it goes on with the same sandbox and command. */
  readonly #request: string;
  readonly #exec: string;
  #created: string | undefined;
  #startAsked = false;
  readonly #trouble = new Trouble();
  /** With the close code of the first connection. */
  readonly #closed = Promise.withResolvers<number>();
  #target: AttachTarget | undefined;
  #socket: ClientSocket | undefined;
  #settled = false;
  #writable = false;
  #started = false;
  #exited = false;
  /** Control messages for a connection that is being made anew. */
  #pending: Uint8Array[] = [];

  constructor(link: ExecLink, what: ExecWish, handlers: ExecHandlers) {
    this.#link = link;
    this.#request = link.transport.newId();
    this.#handlers = handlers;
    const dealt = (): void => {
      if (!this.#settled) this.#acks.note(this.#out.dealt, this.#err.dealt);
    };
    const fail = (error: unknown): void => this.#settle(error);
    this.#out = new OutputChannel({ consume: handlers.stdout ?? ignore, dealt, fail });
    this.#err = new OutputChannel({ consume: handlers.stderr ?? ignore, dealt, fail });
    this.#exec = "run" in what ? (what.run.exec.id ?? link.transport.newId()) : what.attach.exec;
    if ("run" in what) {
      this.#run = { ...what.run, exec: { ...what.run.exec, id: this.#exec } };
    } else {
      this.#target = what.attach;
      this.#out.skipTo(what.attach.out ?? 0);
      this.#err.skipTo(what.attach.err ?? 0);
    }
    this.#result.promise.catch(ignore);
    handlers.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Resolves with the ended exec once all its output was dealt with. Rejects with a ThawError, or the signal's reason. */
  get result(): Promise<Exec> {
    return this.#result.promise;
  }

  /** Whether the command was started. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether somebody else writes: stdin, signals and sizes of ours are not heard. */
  get watching(): boolean {
    return this.#target !== undefined && this.#target.stdin !== true;
  }

  /** Connects; starts the daemon when there is none. @throws ThawError also when the daemon refuses. */
  async open(): Promise<this> {
    try {
      await this.#connect();
    } catch (error) {
      this.#settle(error);
      throw error;
    }
    return this;
  }

  /** Ends the hold of a run: the command starts. */
  start(): void {
    this.#startAsked = true;
    this.#socket?.send(encodeControl({ type: "start" }));
  }

  /** Sends a signal, e.g. `TERM`, to the exec's process group. */
  sendSignal(signal: string): void {
    this.#send(encodeControl({ type: "signal", signal: signal.replace(/^SIG/, "") }));
  }

  /** Tells the terminal's new size. */
  resize(size: { rows: number; cols: number }): void {
    this.#send(encodeResize(size));
  }

  /** Sends bytes to stdin; resolves when more may come. The bytes are copied. */
  async writeStdin(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length && !this.#settled && !this.watching; at += 32_768) {
      await this.#stdin.waitForRoom();
      const message = encodeStdin(data.subarray(at, at + 32_768));
      this.#stdin.push(message.subarray(1));
      if (this.#writable) this.#socket?.send(message);
    }
  }

  /** Ends stdin. */
  endStdin(): void {
    if (this.#settled || this.#stdin.ended || this.watching) return;
    this.#stdin.end();
    if (this.#writable) this.#socket?.send(END_OF_STDIN);
  }

  /** Lets go: the exec runs on, unless this connection is its sandbox's lease. */
  close(): void {
    this.#settle(new ThawError("cancelled", "the connection was closed"));
  }

  readonly #abort = (): void => this.#settle(this.#handlers.signal?.reason);

  async #connect(): Promise<void> {
    const { signal } = this.#handlers;
    const target = this.#target;
    const path =
      target === undefined
        ? "/v1/run"
        : attachPath({ ...target, ...this.#returning(), out: this.#out.received, err: this.#err.received });
    const request = target === undefined ? this.#request : undefined;
    await this.#link.openSocket({ path, request, listener: this.#listen(), signal });
    if (this.#settled) this.#socket?.close();
    if (this.#run !== undefined && target === undefined) {
      this.#socket?.send(encodeControl({ ...this.#run, ...this.#waitedFor() }));
      if (this.#startAsked) this.#socket?.send(encodeControl({ type: "start" }));
    }
    // Before any output: whoever has not acknowledged yet is dropped when much of it waits.
    this.#acks.flush();
    for (const message of this.#pending.splice(0)) this.#socket?.send(message);
  }

  #waitedFor(): { returnMs?: number } {
    return this.#link.transport.isFar ? { returnMs: FAR_RETURN_MS } : {};
  }

  /** The far daemon may not have noticed yet that the connection before this one broke: its place is ours. */
  #returning(): Partial<AttachTarget> {
    if (!this.#link.transport.isFar || !this.#started || this.watching) return {};
    return { takeover: true, ...(this.#target?.lease === true ? this.#waitedFor() : {}) };
  }

  /** Listens to one socket; what an older one says is not heard. */
  #listen(): SocketListener {
    let mine: ClientSocket | undefined;
    const current = (): boolean => mine !== undefined && this.#socket === mine;
    return {
      open: (socket) => {
        this.#socket = mine = socket;
      },
      message: (data) => {
        if (current()) this.#receive(data);
      },
      close: (code) => {
        if (current()) this.#lose(code);
      },
    };
  }

  #receive(data: Uint8Array): void {
    if (this.#settled) return;
    if (data[0] === channel.stdout) this.#out.push(data.subarray(1));
    else if (data[0] === channel.stderr) this.#err.push(data.subarray(1));
    else if (data[0] === channel.status)
      this.#hear(JSON.parse(decoder.decode(data.subarray(1))) as StatusMessage);
  }

  #hear(message: StatusMessage): void {
    switch (message.type) {
      case "created":
        if (!this.#noteCreated(message.sandbox.id)) return;
        break;
      case "started":
        this.#noteStarted(message.exec);
        break;
      case "stdin":
        this.#noteStdin(message.offset);
        return;
      case "attached":
        this.#noteAttached(message);
        break;
      case "writer-lost":
        this.#becomeWatcher();
        break;
      case "dropped":
        (message.channel === "out" ? this.#out : this.#err).skipTo(message.offset);
        break;
      case "error":
        this.#settle(ThawError.fromApi(message, "the daemon reported an error"));
        return;
      case "exit":
        this.#handlers.onStatus?.(message);
        this.#finish(message.exec);
        return;
      default:
    }
    this.#handlers.onStatus?.(message);
  }

  /** @returns whether it is news */
  #noteCreated(sandbox: string): boolean {
    const before = this.#created;
    this.#created = sandbox;
    if (before === undefined || before === sandbox) return before === undefined;
    // What was sent into the first one is lost.
    this.#settle(
      new ThawError("machine-ended", `sandbox ${before} was lost with its daemon`, { hint: "run it again" }),
    );
    return false;
  }

  #noteStarted(exec: Exec): void {
    const first = !this.#started;
    this.#started = true;
    this.#acks.flush();
    this.#target ??= { sandbox: exec.sandbox, exec: exec.id, stdin: true, lease: true };
    // after a reconnect, what the guest has taken has to be known first
    if (first && !this.#writable && !this.watching) this.#makeWritable();
  }

  /** From here on a reconnect goes on at our offsets, and asks for no more than we have. */
  #noteAttached(message: StatusMessage & { type: "attached" }): void {
    this.#out.skipTo(message.out);
    this.#err.skipTo(message.err);
    if (this.#target !== undefined) {
      const { scrollback: _scrollback, takeover: _takeover, ...target } = this.#target;
      this.#target = target;
    }
    if (!message.writer) this.#becomeWatcher();
  }

  #becomeWatcher(): void {
    if (this.#target !== undefined) this.#target = { ...this.#target, stdin: false };
    this.#writable = false;
    this.#stdin.abandon();
  }

  /** After a reconnect it says from where stdin has to be sent again; at any time it makes room. */
  #noteStdin(offset: number): void {
    if (this.watching) return;
    this.#stdin.begin(offset);
    this.#stdin.acknowledge(offset);
    // a run tells it before its command can take any
    if (this.#started && !this.#writable) this.#makeWritable();
  }

  #makeWritable(): void {
    this.#writable = true;
    for (const data of this.#stdin.unacknowledged()) this.#socket?.send(encodeStdin(data));
    if (this.#stdin.ended) this.#socket?.send(END_OF_STDIN);
  }

  #finish(exec: Exec): void {
    this.#exited = true;
    Promise.all([this.#out.drained(), this.#err.drained()])
      .then(() => this.#release())
      .then(
        () => this.#settle(undefined, exec),
        (error: unknown) => this.#settle(error),
      );
  }

  /** The daemon removes a run's sandbox when it closes the connection. One that was killed meanwhile may not get to it. */
  async #release(): Promise<void> {
    if (this.#run === undefined || this.#run.keep === true || this.#settled) return;
    const code = this.#trouble.count > 0 ? closeCode.broken : await this.#awaitClose();
    const sandbox = this.#target?.sandbox ?? this.#created;
    if (code === closeCode.normal || sandbox === undefined) return;
    const path = `/v1/sandboxes/${encodeURIComponent(sandbox)}`;
    // Whatever it fails with, the command has ended; the next daemon removes what nobody leases.
    const how = { method: "DELETE", path, answerDeadlineMs: REMOVE_DEADLINE_MS } as const;
    await this.#link.transport.ask(how, drain).catch(ignore);
  }

  async #awaitClose(): Promise<number> {
    const closed = new AbortController();
    const late = pause(CLOSE_DEADLINE_MS, closed.signal).then(() => closeCode.broken);
    return Promise.race([this.#closed.promise, late]).finally(() => closed.abort());
  }

  #lose(code: number): void {
    this.#socket = undefined;
    this.#writable = false;
    this.#closed.resolve(code);
    // After the exit nothing more comes: what is left is to deal with the last of the output.
    if (this.#settled || this.#exited) return;
    // Its output came before the message that it was started.
    if (this.#created !== undefined && this.#out.received + this.#err.received > 0)
      this.#target ??= { sandbox: this.#created, exec: this.#exec, stdin: true, lease: true };
    const { signal, onBroken } = this.#handlers;
    onBroken?.();
    const again = async (): Promise<void> => {
      await this.#trouble.note(signal);
      await reconnect(() => this.#connect(), signal);
    };
    again().catch((error: unknown) => this.#settle(error));
  }

  #control(message: ControlMessage): void {
    if (message.type === "ack") this.#socket?.send(encodeControl(message));
    else this.#send(encodeControl(message));
  }

  #send(message: Uint8Array): void {
    if (this.#settled) return;
    if (this.#socket === undefined) this.#pending.push(message);
    else this.#socket.send(message);
  }

  #settle(error: unknown, exec?: Exec): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#acks.stop();
    this.#stdin.abandon();
    this.#handlers.signal?.removeEventListener("abort", this.#abort);
    // what just ends would be taken for a network's fault, and be waited for
    if (exec === undefined && !this.#link.transport.isFar) this.#socket?.terminate();
    else this.#socket?.close(1000);
    if (exec === undefined) this.#result.reject(error);
    else this.#result.resolve(exec);
  }
}
