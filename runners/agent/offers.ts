/** Streams that the guest opens: connections that a listener in it accepted, and connections that leave it. */
import type { z } from "zod";
import type { Connect, guestRequest } from "./messages.ts";
import { FRAME, STREAM_WINDOW_BYTES } from "./protocol.ts";
import { AgentStream, type StreamWire } from "./stream.ts";

/** Accepted connections that are open at once; each may hold a window of bytes here. */
const MAX_ACCEPTED = 256;
/** Connections that leave the guest, open or offered. */
const MAX_LEAVING = 2_048;
/** Offers that nobody has answered yet: the agent makes no more. */
const MAX_UNANSWERED = 256;
/** Windows become smaller the more connections there are, so that all of them together hold some 60 MiB here at most. */
const WINDOWS = [
  { below: 64, bytes: STREAM_WINDOW_BYTES },
  { below: 512, bytes: 64 * 1024 },
  { below: MAX_LEAVING, bytes: 16 * 1024 },
] as const;

/** A connection that a program in the guest has opened and that waits for a verdict. Answer it once. */
export interface Offer {
  readonly request: Connect;
  take(): AgentStream;
  /** The program sees a reset. */
  refuse(reason: string): void;
}

/** What the offers need of their session. */
export interface OfferWire extends StreamWire {
  has(stream: number): boolean;
  add(stream: AgentStream): void;
}

export class Offers {
  readonly #wire: OfferWire;
  readonly #accepted = new Set<number>();
  readonly #leaving = new Set<number>();
  #unanswered = 0;
  /** Called for each connection a listener in the guest accepted. Without one they are refused. */
  onAccepted: ((listener: number, stream: AgentStream) => void) | null = null;
  /** Called for each connection that leaves the guest. Without one they are refused. */
  onConnect: ((offer: Offer) => void) | null = null;

  constructor(wire: OfferWire) {
    this.#wire = wire;
  }

  take(id: number, request: z.infer<typeof guestRequest>): void {
    if (id % 2 !== 0 || this.#wire.has(id) || this.#leaving.has(id))
      return this.#wire.fault(`the guest opened stream ${id}, which is not its to open`);
    if (request.op === "connect") return this.#takeConnect(id, request);
    if (!this.onAccepted) return this.#refuse(id, "connections are not accepted");
    if (this.#accepted.size >= MAX_ACCEPTED) return this.#refuse(id, "too many streams");
    this.#accepted.add(id);
    this.onAccepted(request.listener, this.#open(id, STREAM_WINDOW_BYTES));
  }

  /** A stream is closed. */
  forget(stream: number): void {
    this.#accepted.delete(stream);
    this.#leaving.delete(stream);
  }

  #takeConnect(id: number, request: Connect): void {
    if (!this.onConnect) return this.#refuse(id, "there is no network");
    if (this.#leaving.size >= MAX_LEAVING) return this.#refuse(id, "too many connections");
    if (this.#unanswered >= MAX_UNANSWERED)
      return this.#wire.fault("the guest has too many unanswered connections");
    this.#leaving.add(id);
    this.#unanswered += 1;
    this.onConnect({
      request,
      take: () => {
        this.#unanswered -= 1;
        const window = WINDOWS.find(({ below }) => this.#leaving.size < below)?.bytes ?? 16 * 1024;
        return this.#open(id, window);
      },
      refuse: (reason) => {
        this.#unanswered -= 1;
        this.#leaving.delete(id);
        this.#refuse(id, reason);
      },
    });
  }

  #open(id: number, windowBytes: number): AgentStream {
    const stream = new AgentStream(id, this.#wire, { in: true, out: true, windowBytes }, {});
    stream.markAnswered();
    this.#wire.add(stream);
    const ok = windowBytes === STREAM_WINDOW_BYTES ? {} : { window: windowBytes };
    this.#wire.send(id, FRAME.RESPONSE, 0, Buffer.from(JSON.stringify({ ok })));
    return stream;
  }

  #refuse(id: number, message: string): void {
    const body = { error: { kind: "refused", message } };
    this.#wire.send(id, FRAME.RESPONSE, 0, Buffer.from(JSON.stringify(body)));
  }
}
