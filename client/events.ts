/** The daemon's server-sent events. */
import { createParser } from "eventsource-parser";
import type { Event } from "../api/schema.ts";
import { ThawError } from "./errors.ts";
import { pause } from "./pause.ts";

/** Longer than any event of a daemon. */
const MAX_EVENT_BYTES = 1 << 20;
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
  let ms = pauseMs.least;
  for (;;) {
    try {
      for await (const sent of parseEvents(await open(pathOf(options, last), signal))) {
        last = sent.id ?? last;
        ms = pauseMs.least;
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
      if (ms >= pauseMs.most) throw error;
    }
    signal?.throwIfAborted();
    await pause(ms, signal);
    ms = Math.min(pauseMs.most, ms * 2);
  }
}

function pathOf({ sandbox, follow = true }: EventOptions, since: number | undefined): string {
  const query = new URLSearchParams({ follow: follow ? "1" : "0" });
  if (since !== undefined) query.set("since", String(since));
  if (sandbox !== undefined) query.set("sandbox", sandbox);
  return `/v1/events?${query}`;
}

/** Parses a stream of server-sent events. An id comes first and without data; its event, if it has one, follows. */
export async function* parseEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SentEvent, void> {
  let sent: SentEvent[] = [];
  let fault: Error | undefined;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_BYTES,
    onId: (id) => sent.push({ id: parseId(id), type: "message", data: "" }),
    // how a daemon without events says that it is there
    onComment: () => sent.push({ id: undefined, type: "comment", data: "" }),
    onEvent: ({ id, event = "message", data }) => sent.push({ id: parseId(id), type: event, data }),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") fault = error;
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    const ready = sent;
    sent = [];
    yield* ready;
    if (fault !== undefined)
      throw new ThawError("internal", `an event of the daemon is longer than ${MAX_EVENT_BYTES} bytes`, {
        cause: fault,
      });
  }
}

function parseId(id: string | undefined): number | undefined {
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
}
