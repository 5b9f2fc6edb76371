/** One stream of a session: a request, its answer, and up to three channels of bytes. */
import type { z } from "zod";
import { AgentRefusal, SessionError } from "./errors.ts";
import type { AgentErrorBody } from "./messages.ts";
import { CHANNEL, FRAME, MAX_PAYLOAD_BYTES, type OutputChannel } from "./protocol.ts";
import { ReceiveWindow, SendWindow } from "./window.ts";

export interface StreamHandlers {
  /** The answer, before any data that follows it. Not validated. */
  onAnswer?(ok: object): void;
  /** A view of received bytes: use or copy it before returning, then `consume` as many when they are dealt with. */
  onData?(channel: OutputChannel, piece: Buffer): void;
  onEnd?(channel: OutputChannel): void;
  /** Parsed JSON of an EVENT, not validated. */
  onEvent?(event: unknown): void;
  /** Once, when nothing more will come: null after an orderly end. */
  onClose?(error: Error | null): void;
}

export interface StreamShape {
  in?: boolean;
  out?: boolean;
  err?: boolean;
  /** What is written goes ahead of what other streams wait with. */
  urgent?: boolean;
  windowBytes: number;
}

/** What a stream needs of its session. */
export interface StreamWire {
  send(stream: number, type: number, channel: number, payload: Uint8Array): boolean;
  /** Whether it takes no more for now, or somebody waits for that already. */
  isBusy(): boolean;
  /** Resolves when it takes more and it is the caller's turn. */
  turn(): Promise<void>;
  forget(stream: number): void;
  fault(message: string): void;
}

const EMPTY = Buffer.alloc(0);

export class AgentStream {
  readonly id: number;
  readonly #wire: StreamWire;
  readonly #shape: StreamShape;
  handlers: StreamHandlers;
  #send: SendWindow;
  readonly #receive: Record<OutputChannel, ReceiveWindow>;
  readonly #open: Set<number>;
  #answered = false;
  #closed: Error | null | undefined;
  readonly #answer = Promise.withResolvers<object>();

  constructor(id: number, wire: StreamWire, shape: StreamShape, handlers: StreamHandlers) {
    this.id = id;
    this.#wire = wire;
    this.#shape = shape;
    this.handlers = handlers;
    this.#send = new SendWindow(shape.windowBytes);
    this.#receive = { 1: new ReceiveWindow(shape.windowBytes), 2: new ReceiveWindow(shape.windowBytes) };
    this.#open = new Set();
    if (shape.in) this.#open.add(CHANNEL.in);
    if (shape.out) this.#open.add(CHANNEL.out);
    if (shape.err) this.#open.add(CHANNEL.err);
    this.#answer.promise.catch(() => {});
  }

  /** The `ok` object of the answer, parsed by `schema`. Rejects with `AgentRefusal` or `SessionError`. */
  async answer<T extends z.ZodType>(schema: T): Promise<z.infer<T>> {
    const body = schema.safeParse(await this.#answer.promise);
    if (body.success) return body.data;
    this.#wire.fault(`an answer of the wrong shape: ${body.error.issues[0]?.message ?? ""}`);
    throw new SessionError("fault", "the guest sent an invalid answer");
  }

  /** Where the channels' offsets start when they do not start at 0 (an exec that was attached to again). */
  startAt(offsets: { in: number; out: number; err: number }, windows: { in: number; output: number }): void {
    this.#send = new SendWindow(windows.in, offsets.in);
    this.#receive[1] = new ReceiveWindow(windows.output, offsets.out);
    this.#receive[2] = new ReceiveWindow(windows.output, offsets.err);
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Bytes on `in` that the guest has dealt with. */
  get taken(): number {
    return this.#send.acknowledged;
  }

  /** Sends bytes towards the guest; resolves when the last of them is on its way. Rejects when the stream closes first. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (!this.#shape.urgent && this.#wire.isBusy()) await this.#wire.turn();
      while (this.#send.room <= 0 && !this.isClosed) await this.#send.changed();
      if (this.isClosed) throw this.#closed ?? new SessionError("closed", "the stream has ended");
      const take = Math.min(bytes.length - at, MAX_PAYLOAD_BYTES, this.#send.room);
      this.#send.send(take);
      if (!this.#wire.send(this.id, FRAME.DATA, CHANNEL.in, bytes.subarray(at, at + take)))
        await this.#wire.turn();
      at += take;
    }
  }

  /** No more bytes towards the guest. */
  end(): void {
    if (this.isClosed || !this.#open.has(CHANNEL.in)) return;
    this.#wire.send(this.id, FRAME.END, CHANNEL.in, EMPTY);
    this.#finish(CHANNEL.in);
  }

  /** Marks received bytes as dealt with, so that the guest may send more. */
  consume(channel: OutputChannel, bytes: number): void {
    const offset = this.#receive[channel].consume(bytes);
    if (offset === null || this.isClosed) return;
    const payload = Buffer.allocUnsafe(8);
    payload.writeBigUInt64LE(BigInt(offset));
    this.#wire.send(this.id, FRAME.ACK, channel, payload);
  }

  /** Ends the stream both ways at once. */
  reset(message: string): void {
    if (this.isClosed) return;
    const body: AgentErrorBody = { kind: "io", message };
    this.#wire.send(this.id, FRAME.RESET, 0, Buffer.from(JSON.stringify(body)));
    this.close(new SessionError("closed", message));
  }

  /** Closes this side without a word to the guest; for the session. */
  close(error: Error | null): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#wire.forget(this.id);
    this.#answer.reject(error ?? new SessionError("closed", "the stream ended without an answer"));
    this.#send.wake();
    this.handlers.onClose?.(error);
  }

  /** For the session: an answer arrived. False when there was one already: another would move the windows again. */
  takeAnswer(body: { ok: object } | { error: AgentErrorBody }): boolean {
    if (this.#answered) return false;
    this.#answered = true;
    if ("error" in body) {
      this.close(new AgentRefusal(body.error));
      return true;
    }
    this.handlers.onAnswer?.(body.ok);
    this.#answer.resolve(body.ok);
    // An upload is over with its answer, whatever the state of its channel.
    if (!this.#shape.out && !this.#shape.err) this.#open.clear();
    this.#closeWhenDone();
    return true;
  }

  /** For the session: the guest asked for this stream and we agreed; there is no answer to wait for. */
  markAnswered(): void {
    this.#answered = true;
    this.#answer.resolve({});
  }

  /** For the session. What the guest did wrong, or null. */
  takeData(channel: OutputChannel, piece: Buffer): string | null {
    if (!this.#answered) return "data before the answer";
    if (!this.#open.has(channel)) return `data on channel ${channel}, which is not open`;
    if (!this.#receive[channel].receive(piece.length)) return "more than its window";
    if (this.handlers.onData) this.handlers.onData(channel, piece);
    else this.consume(channel, piece.length);
    return null;
  }

  takeEnd(channel: number): void {
    if (channel !== 1 && channel !== 2) return;
    if (!this.#open.has(channel)) return;
    this.handlers.onEnd?.(channel);
    this.#finish(channel);
  }

  /** For the session. False when the guest acknowledges what was not sent. */
  takeAck(offset: number): boolean {
    return this.#send.acknowledge(offset);
  }

  #finish(channel: number): void {
    this.#open.delete(channel);
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.#answered && this.#open.size === 0) this.close(null);
  }
}
