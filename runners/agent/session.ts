/**
 * A session with a guest agent over any byte stream. One at a time per guest; a new one makes the guest forget the old. Everything
 * received is bounded and parsed; a guest that breaks the protocol ends its session and nothing else.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { z } from "zod";
import { paced } from "../../host/pace.ts";
import { Budget, type BudgetSize } from "./budget.ts";
import { AgentRefusal, SessionError } from "./errors.ts";
import { encodeFrame, FrameFault, type FrameHeader, FrameReader } from "./frame.ts";
import {
  agentError,
  guestRequest,
  type Identity,
  response,
  sessionEvent,
  type Welcome,
  welcome,
} from "./messages.ts";
import { Offers } from "./offers.ts";
import {
  FRAME,
  HEADER_BYTES,
  MAGIC,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_STREAMS,
  OLDEST_VERSION,
  STREAM_WINDOW_BYTES,
  VERSION,
} from "./protocol.ts";
import { AgentStream, type StreamHandlers, type StreamShape, type StreamWire } from "./stream.ts";
import { Turns } from "./turns.ts";

export interface OpenOptions {
  /** Applied by the guest before it answers. Given after a thaw. */
  identity?: Identity;
  /** Leave the zero bytes out of the first try: the guest is known to be between frames (just thawed, just booted). */
  guestIsBetweenFrames?: boolean;
  deadlineMs: number;
  signal?: AbortSignal;
}

export interface RequestOptions {
  shape?: StreamShape;
  handlers?: StreamHandlers;
}

const FIRST_REPEAT_MS = 50;
/** A guest that is between frames needs no second hello; it may take this long to wake up and apply its identity, emulated and under load. */
const FIRST_REPEAT_BETWEEN_FRAMES_MS = 1000;
const LAST_REPEAT_MS = 1000;
/** A guest that goes on sending while this much waits for it does not read. 256 writers that wait their turn stay below. */
const MAX_UNREAD_BYTES = 16 << 20;
/**
 * What one guest may cost the daemon, which serves them all. Windows bound the bytes of a stream, but neither how many frames they come in
 * nor what belongs to no stream. Beyond its budget the guest is not read, and so waits. An honest guest stays far below: output comes in
 * frames of up to 64 KiB, and while it waits they become larger.
 */
const WORK: BudgetSize = { perSecond: 20_000, burst: 40_000 };
/** Of a message, beyond the 1 of every frame: it is parsed and dealt with. */
const MESSAGE_WORK = 3;
/** Of a connection that the guest opens, beyond the 1 of every frame. */
const REQUEST_WORK = 39;
/** Bytes that no window bounds: messages, frames of unknown streams and other sessions, bytes between frames. */
const LOOSE_BYTES: BudgetSize = { perSecond: 8 << 20, burst: 32 << 20 };
const ZEROES = Buffer.alloc(MAX_FRAME_BYTES);
const NO_CHANNELS: StreamShape = { windowBytes: STREAM_WINDOW_BYTES };
/** Told to the agent: what this host can do beyond its versions. */
const FEATURES = ["egress"];

export class AgentSession implements StreamWire {
  readonly #duplex: Duplex;
  readonly #id = (randomBytes(8).readBigUInt64LE() | 1n) & 0xffff_ffff_ffff_ffffn;
  readonly #reader = new FrameReader({
    frame: (header, payload) => this.#takeFrame(header, payload),
    data: (header, piece) => this.#takeData(header, piece),
  });
  readonly #streams = new Map<number, AgentStream>();
  /** What the guest opens. */
  readonly offers: Offers = new Offers({
    has: (id) => this.#streams.has(id),
    add: (stream) => this.#streams.set(stream.id, stream),
    send: (...frame) => this.send(...frame),
    isBusy: () => this.isBusy(),
    turn: () => this.turn(),
    forget: (id) => this.forget(id),
    fault: (message) => this.fault(message),
  });
  readonly #turns: Turns;
  readonly #welcome = Promise.withResolvers<Welcome>();
  readonly #ended = Promise.withResolvers<SessionError>();
  #nextStream = 1;
  #error: SessionError | null = null;
  /** Bytes seen before the WELCOME that may be the start of it; null once it was found. */
  #preamble: Buffer | null = Buffer.alloc(0);
  readonly #work = new Budget(WORK);
  readonly #loose = new Budget(LOOSE_BYTES);
  /** Of the chunk that is being read: bytes that a stream's window bounds. */
  #windowed = 0;
  /** Until the guest is read again. */
  #rest: NodeJS.Timeout | undefined;
  onEvent: ((event: z.infer<typeof sessionEvent>) => void) | null = null;

  private constructor(duplex: Duplex) {
    this.#duplex = duplex;
    this.#turns = new Turns(duplex);
    this.#welcome.promise.catch(() => {});
    duplex.on("data", (chunk: Buffer) => this.#take(chunk));
    duplex.on("error", (error) =>
      this.#finish(new SessionError("closed", `the agent's connection failed: ${error.message}`)),
    );
    duplex.on("close", () => this.#finish(new SessionError("closed", "the agent's connection ended")));
  }

  /** Says hello until it is answered. Rejects with a `SessionError` after the deadline, and closes the connection. */
  static async open(
    duplex: Duplex,
    options: OpenOptions,
  ): Promise<{ session: AgentSession; welcome: Welcome }> {
    const session = new AgentSession(duplex);
    try {
      return { session, welcome: await session.#greet(options) };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Resolves when the session is over, with why. */
  get ended(): Promise<SessionError> {
    return this.#ended.promise;
  }

  /** Opens a stream with a request. The answer is awaited through `stream.answer`. */
  open(op: string, params: object, options: RequestOptions = {}): AgentStream {
    const id = this.#nextStream;
    this.#nextStream += 2;
    const stream = new AgentStream(id, this, options.shape ?? NO_CHANNELS, options.handlers ?? {});
    if (this.#error) {
      stream.close(this.#error);
      return stream;
    }
    if (this.#streams.size >= MAX_STREAMS) {
      stream.close(new SessionError("closed", `more than ${MAX_STREAMS} streams`));
      return stream;
    }
    const request = Buffer.from(JSON.stringify({ op, ...params }));
    if (request.length > MAX_PAYLOAD_BYTES) {
      const message = `a request of ${request.length} bytes, ${MAX_PAYLOAD_BYTES} at most`;
      stream.close(new AgentRefusal({ kind: "limit", message }));
      return stream;
    }
    this.#streams.set(id, stream);
    this.send(id, FRAME.REQUEST, 0, request);
    return stream;
  }

  /** A request without channels: its parsed answer. */
  request<T extends z.ZodType>(op: string, params: object, schema: T): Promise<z.infer<T>> {
    return this.open(op, params).answer(schema);
  }

  close(): void {
    this.#finish(new SessionError("closed", "the session was closed"));
  }

  send(stream: number, type: number, channel: number, payload: Uint8Array): boolean {
    if (this.#error) return true;
    const [head, body, trailer] = encodeFrame({ type, channel, session: this.#id, stream }, payload);
    this.#duplex.cork();
    this.#duplex.write(head);
    if (body.length > 0) this.#duplex.write(body);
    const more = this.#duplex.write(trailer);
    this.#duplex.uncork();
    return more;
  }

  isBusy(): boolean {
    return this.#turns.isBusy;
  }

  turn(): Promise<void> {
    return this.#turns.next();
  }

  forget(stream: number): void {
    this.#streams.delete(stream);
    this.offers.forget(stream);
  }

  fault(message: string): void {
    this.#finish(new SessionError("fault", message));
  }

  async #greet(options: OpenOptions): Promise<Welcome> {
    const hello = Buffer.from(
      JSON.stringify({
        versions: [OLDEST_VERSION, VERSION],
        ...(options.identity ? { identity: options.identity } : {}),
        features: FEATURES,
      }),
    );
    let wait = options.guestIsBetweenFrames ? FIRST_REPEAT_BETWEEN_FRAMES_MS : FIRST_REPEAT_MS;
    let timer: NodeJS.Timeout | undefined;
    const say = (zeroes: boolean) => {
      if (zeroes) this.#duplex.write(ZEROES);
      this.send(0, FRAME.HELLO, 0, hello);
      timer = setTimeout(() => {
        wait = Math.min(wait * 2, LAST_REPEAT_MS);
        if (!this.#duplex.writableNeedDrain) say(true);
        else timer = setTimeout(() => say(false), wait);
      }, wait);
    };
    const waitMs = paced(options.deadlineMs);
    const deadline = setTimeout(() => {
      this.#finish(new SessionError("timeout", `the guest agent did not answer within ${waitMs} ms`));
    }, waitMs);
    const abort = () => this.#finish(new SessionError("closed", "interrupted"));
    options.signal?.addEventListener("abort", abort);
    try {
      if (options.signal?.aborted) abort();
      say(options.guestIsBetweenFrames !== true);
      const answer = await this.#welcome.promise;
      if (answer.version < OLDEST_VERSION || answer.version > VERSION) {
        throw new SessionError(
          "fault",
          `the guest's agent ${answer.agent} has no protocol version in common with this host: ${answer.error ?? answer.version}`,
        );
      }
      return answer;
    } finally {
      clearTimeout(timer);
      clearTimeout(deadline);
      options.signal?.removeEventListener("abort", abort);
    }
  }

  #take(chunk: Buffer): void {
    if (this.#error) return;
    this.#windowed = 0;
    const framesBefore = this.#reader.count;
    try {
      const bytes = this.#preamble === null ? chunk : this.#findWelcome(chunk);
      if (bytes !== null) this.#reader.push(bytes);
      this.#work.spend(this.#reader.count - framesBefore);
      this.#loose.spend(chunk.length - this.#windowed);
      this.#keepToBudget();
      if (this.#duplex.writableLength > MAX_UNREAD_BYTES)
        this.fault("the guest sends and does not read what it is sent");
    } catch (error) {
      if (error instanceof FrameFault) this.fault(error.message);
      else throw error;
    }
  }

  #keepToBudget(): void {
    const waitMs = Math.max(this.#work.waitMs(), this.#loose.waitMs());
    if (waitMs === 0 || this.#error) return;
    this.#duplex.pause();
    this.#rest = setTimeout(() => this.#duplex.resume(), waitMs);
  }

  /** Skips what an earlier session left in the pipe: all before the WELCOME that carries our session id. */
  #findWelcome(chunk: Buffer): Buffer | null {
    const seen = Buffer.concat([this.#preamble ?? Buffer.alloc(0), chunk]);
    const pattern = Buffer.alloc(HEADER_BYTES - 4);
    pattern[0] = MAGIC;
    pattern[1] = FRAME.WELCOME;
    pattern.writeBigUInt64LE(this.#id, 4);
    const at = seen.indexOf(pattern);
    if (at >= 0) {
      this.#preamble = null;
      return seen.subarray(at);
    }
    this.#preamble = seen.subarray(Math.max(0, seen.length - pattern.length + 1));
    return null;
  }

  #takeFrame(header: FrameHeader, payload: Buffer): void {
    this.#work.spend(header.type === FRAME.REQUEST ? REQUEST_WORK : MESSAGE_WORK);
    if (header.session !== this.#id || this.#error) return;
    if (header.stream === 0) return this.#takeSessionFrame(header, payload);
    if (header.type === FRAME.REQUEST)
      return this.#parsed(guestRequest, payload, (request) => this.offers.take(header.stream, request));
    const stream = this.#streams.get(header.stream);
    if (!stream) return;
    switch (header.type) {
      case FRAME.RESPONSE:
        return this.#parsed(response, payload, (body) => {
          if (!stream.takeAnswer(body as Parameters<AgentStream["takeAnswer"]>[0]))
            this.fault("the guest answered a request twice");
        });
      case FRAME.END:
        return stream.takeEnd(header.channel);
      case FRAME.ACK: {
        const sound = payload.length === 8 && stream.takeAck(Number(payload.readBigUInt64LE()));
        return sound ? undefined : this.fault("the guest acknowledged bytes that were never sent");
      }
      case FRAME.EVENT:
        return this.#json(payload, (event) => stream.handlers.onEvent?.(event));
      case FRAME.RESET:
        return stream.close(new SessionError("closed", "the guest reset the stream"));
      default:
        return this.fault(`the guest sent a frame of unknown type ${header.type}`);
    }
  }

  #takeSessionFrame(header: FrameHeader, payload: Buffer): void {
    if (header.type === FRAME.WELCOME)
      return this.#parsed(welcome, payload, (body) => this.#welcome.resolve(body));
    if (header.type === FRAME.EVENT)
      return this.#parsed(sessionEvent, payload, (event) => this.onEvent?.(event));
    if (header.type === FRAME.RESET)
      return this.#parsed(agentError, payload, ({ message }) =>
        this.fault(`the guest's agent ended the session: ${message}`),
      );
    this.fault(`the guest sent a frame of type ${header.type} on stream 0`);
  }

  #takeData(header: FrameHeader, piece: Buffer): void {
    if (header.session !== this.#id || this.#error) return;
    if (header.channel !== 1 && header.channel !== 2)
      return this.fault(`the guest sent data on channel ${header.channel}`);
    const stream = this.#streams.get(header.stream);
    if (!stream) return;
    this.#windowed += piece.length;
    const wrong = stream.takeData(header.channel, piece);
    if (wrong) this.fault(`the guest sent ${wrong}`);
  }

  #json(payload: Buffer, use: (value: unknown) => void): void {
    let value: unknown;
    try {
      value = JSON.parse(payload.toString("utf8"));
    } catch {
      return this.fault("the guest sent a message that is not JSON");
    }
    use(value);
  }

  #parsed<T extends z.ZodType>(schema: T, payload: Buffer, use: (value: z.infer<T>) => void): void {
    this.#json(payload, (value) => {
      const parsed = schema.safeParse(value);
      if (parsed.success) use(parsed.data);
      else
        this.fault(`the guest sent a message of the wrong shape: ${parsed.error.issues[0]?.message ?? ""}`);
    });
  }

  #finish(error: SessionError): void {
    if (this.#error) return;
    this.#error = error;
    clearTimeout(this.#rest);
    this.#welcome.reject(error);
    this.#duplex.destroy();
    for (const stream of [...this.#streams.values()]) stream.close(error);
    this.#ended.resolve(error);
  }
}
