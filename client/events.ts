/** Server-sent events of the daemon, as the specification has them, as far as the daemon uses it. */
import type { Event } from "../api/schema.ts";
import { ThawError } from "./errors.ts";

/** An event's lines; one that is longer is not the daemon's. */
const maxEventBytes = 1 << 20;
/** Between attempts to come back; doubled each time nothing came. */
const pauseMs = { least: 50, most: 2000 };

export interface EventOptions {
  since?: number | undefined;
  sandbox?: string | undefined;
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onGap?: (gap: { since: number; oldest: number }) => void;
  onAlive?: () => void;
}

type Open = (path: string, signal: AbortSignal | undefined) => Promise<AsyncIterable<Uint8Array>>;

/** One event of a stream, as it came. */
export interface SentEvent {
  id: number | undefined;
  type: string;
  data: string;
}

/** Follows the stream, over breaks of the connection. */
export async function* followEvents(open: Open, options: EventOptions): AsyncGenerator<Event, void> {
  const { follow = true, signal } = options;
  let last = options.since;
  let pause = pauseMs.least;
  for (;;) {
    try {
      for await (const sent of parseEvents(await open(pathOf(options, last), signal))) {
        last = sent.id ?? last;
        pause = pauseMs.least;
        options.onAlive?.();
        if (sent.type === "gap") options.onGap?.(JSON.parse(sent.data));
        // Too slow: what was missed comes with the next connection.
        else if (sent.type === "dropped") break;
        else if (sent.data !== "") yield JSON.parse(sent.data) as Event;
      }
      if (!follow) return;
    } catch (error) {
      // An answer of the daemon's is final; a broken connection is not.
      if (!follow || signal?.aborted || (error instanceof ThawError && error.code !== "daemon-unreachable"))
        throw error;
      if (pause >= pauseMs.most) throw error;
    }
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pauseMs.most, pause * 2);
  }
}

function pathOf({ sandbox, follow = true }: EventOptions, since: number | undefined): string {
  const query = new URLSearchParams({ follow: follow ? "1" : "0" });
  if (since !== undefined) query.set("since", String(since));
  if (sandbox !== undefined) query.set("sandbox", sandbox);
  return `/v1/events?${query}`;
}

/** Parses a stream of server-sent events; one without data is given too, for its id. */
export async function* parseEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop() ?? "";
    if (rest.length > maxEventBytes)
      throw new ThawError("internal", `an event of the daemon's passes ${maxEventBytes} bytes`);
    for (const block of blocks) yield parseBlock(block);
  }
}

function parseBlock(block: string): SentEvent {
  const sent: SentEvent = { id: undefined, type: "message", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (field === "id" && /^\d+$/.test(value)) sent.id = Number(value);
    if (field === "event") sent.type = value;
    if (field === "data") sent.data += value;
  }
  return sent;
}
