/** One WebSocket that speaks the channel protocol (docs/API.md): output and status out, stdin and control in. */
import type { WebSocket } from "ws";
import { channel, closeCode } from "../../api/channels.ts";
import { controlMessage, resizeMessage, type StatusMessage } from "../../api/schema.ts";
import { EngineError } from "../../engine/errors.ts";
import type { Exec } from "../../engine/execs/exec.ts";
import type { LogPiece, Output } from "../../engine/execs/log.ts";
import type { Reader } from "../../engine/execs/subscriber.ts";
import { apiErrorOf } from "../errors.ts";

/** A client that does not acknowledge is dropped when this much waits for it. */
const MAX_UNPACED_BYTES = 16 << 20;
const SLOW_CLOSE_MS = 1000;
/** What a message costs while it waits, beside its bytes: a guest may send one byte at a time. */
const MESSAGE_BYTES = 512;
/** While catching up, sending pauses beyond this. */
const CATCH_UP_BYTES = 2 << 20;
/** Stdin held for the guest before the connection is paused. */
const MAX_STDIN_BYTES = 1 << 20;

export class Connection implements Reader {
  readonly #socket: WebSocket;
  #exec: Exec | null = null;
  #watched: Exec | null = null;
  /** Messages given to the socket and not yet to the kernel. */
  #inFlight = 0;
  #sent = 0;
  #acknowledged: number | null = null;
  #base = 0;
  #stdinQueue: Promise<void> = Promise.resolve();
  #stdinBytes = 0;
  #roomWaiters: (() => void)[] = [];
  /** Called before input reaches the guest: a paused sandbox is to go on. */
  onInput: () => Promise<void> = async () => {};
  /** Called when the client has dealt with more output. */
  onAcknowledge: (() => void) | null = null;
  readonly #started = Promise.withResolvers<void>();
  /** The first JSON message on channel 3, when somebody waits for it. */
  onFirst: ((message: unknown) => void) | null = null;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: Buffer) => this.#take(data));
    socket.on("error", () => {});
    socket.on("close", () => this.#wake());
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Resolves when the client has said `start`. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  onClose(listener: () => void): void {
    if (this.isOpen) this.#socket.once("close", () => listener());
    else listener();
  }

  /** Lets go of a lease with the connection; with one that breaks, only after `returnMs`. */
  letGoOnClose(letGo: (inMs: number) => void, returnMs: number): void {
    if (this.isOpen) this.#socket.once("close", (code) => letGo(code === closeCode.broken ? returnMs : 0));
    else letGo(returnMs);
  }

  /** Makes this the exec's writer: stdin, signals and resizes go to it. */
  write(exec: Exec): void {
    this.#exec = exec;
  }

  /** Somebody else writes now: what this client sends is no longer heard. */
  stopWriting(): void {
    this.#exec = null;
  }

  /** Tells the exec when this reader has dealt with output. */
  watch(exec: Exec): void {
    this.#watched = exec;
  }

  status(message: StatusMessage): void {
    this.#send(channel.status, Buffer.from(JSON.stringify(message)));
  }

  /** Says what went wrong, and closes. */
  fail(error: unknown): void {
    this.status({ type: "error", error: apiErrorOf(error).error });
    this.close();
  }

  close(): void {
    this.#socket.close(closeCode.normal);
  }

  /** Offsets a reconnecting client starts from, so that its absolute acks make sense. */
  startFrom(out: number, err: number): void {
    this.#base = out + err;
  }

  output(piece: LogPiece): void {
    if (!this.isOpen) return;
    if (this.#behind > MAX_UNPACED_BYTES) {
      this.#socket.close(closeCode.tooSlow, "too slow");
      // Who does not read does not answer either; what waits for it is let go.
      setTimeout(() => this.#socket.terminate(), SLOW_CLOSE_MS).unref();
      return;
    }
    this.#sent += piece.data.length;
    this.#send(piece.channel, piece.data);
  }

  dropped(of: Output, offset: number): void {
    this.status({ type: "dropped", channel: of === channel.stdout ? "out" : "err", offset });
  }

  /** Only the writer may hold the exec up: nobody who merely watches slows it down for the others. */
  lag(): number {
    return this.#exec === null ? 0 : this.#unacknowledged;
  }

  /** What counts against a client that the exec does not wait for. */
  get #behind(): number {
    if (this.#acknowledged === null) return this.#waiting;
    return this.#exec === null ? this.#unacknowledged : 0;
  }

  get #unacknowledged(): number {
    if (this.#acknowledged === null || !this.isOpen) return 0;
    return Math.max(this.#sent + this.#base - this.#acknowledged, this.#waiting);
  }

  get #waiting(): number {
    return this.#socket.bufferedAmount + this.#inFlight * MESSAGE_BYTES;
  }

  async room(): Promise<void> {
    while (this.isOpen && (this.#waiting > CATCH_UP_BYTES || this.#unacknowledged > CATCH_UP_BYTES)) {
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
    }
  }

  #send(to: number, data: Buffer): void {
    if (!this.isOpen) return;
    const message = Buffer.allocUnsafe(data.length + 1);
    message[0] = to;
    data.copy(message, 1);
    this.#inFlight += 1;
    this.#socket.send(message, () => {
      this.#inFlight -= 1;
      this.#wake();
    });
  }

  /** There may be room again: for catching up, and for what the exec held back. */
  #wake(): void {
    this.#watched?.releaseHeld();
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const waiter of waiters) waiter();
  }

  #take(message: Buffer): void {
    const body = message.subarray(1);
    switch (message[0]) {
      case channel.stdin:
        return this.#stdin(body);
      case channel.status:
        return this.#control(body);
      case channel.resize: {
        const size = resizeMessage.safeParse(json(body));
        if (size.success)
          this.#exec?.resize({ rows: size.data.Height, cols: size.data.Width }).catch(() => {});
        return;
      }
      case channel.close:
        if (body[0] === channel.stdin)
          this.#stdinQueue = this.#stdinQueue
            .then(() => this.#wakeFor(this.#exec))
            .then(() => this.#exec?.endStdin())
            .catch(() => {});
        return;
      default:
        this.fail(new EngineError("usage", `there is no channel ${message[0]}`));
    }
  }

  #stdin(bytes: Buffer): void {
    this.#stdinBytes += bytes.length;
    if (this.#stdinBytes > MAX_STDIN_BYTES) this.#socket.pause();
    const exec = this.#exec;
    this.#stdinQueue = this.#stdinQueue
      .then(() => this.#wakeFor(exec))
      .then(() => exec?.writeStdin(bytes))
      .catch(() => {})
      .then(() => {
        this.#stdinBytes -= bytes.length;
        if (this.#stdinBytes <= MAX_STDIN_BYTES) this.#socket.resume();
      });
  }

  async #signal(exec: Exec | null, signal: string): Promise<void> {
    await this.#wakeFor(exec);
    await exec?.signal(signal, "group");
  }

  /** Says why, closes and throws when the sandbox can't go on. */
  async #wakeFor(exec: Exec | null): Promise<void> {
    if (exec === null || exec.isOver) return;
    try {
      await this.onInput();
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  #control(body: Buffer): void {
    const value = json(body);
    if (this.onFirst) {
      const first = this.onFirst;
      this.onFirst = null;
      return first(value);
    }
    const message = controlMessage.safeParse(value);
    if (!message.success)
      return this.fail(
        new EngineError("usage", `invalid control message: ${message.error.issues[0]?.message ?? ""}`),
      );
    switch (message.data.type) {
      case "start":
        return this.#started.resolve();
      case "ack":
        this.#acknowledged = Math.min(message.data.out + message.data.err, this.#sent + this.#base);
        return this.#wake();
      case "signal":
        this.#signal(this.#exec, message.data.signal).catch(() => {});
        return;
    }
  }
}

function json(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
}
