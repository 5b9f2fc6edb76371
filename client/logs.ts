import { channel, LOG_RECORD_HEADER_BYTES } from "../api/channels.ts";
import type { Exec, LogPosition, LogStatus } from "../api/schema.ts";
import { ThawError } from "./errors.ts";
import { joinBytes } from "./join-bytes.ts";
import { reconnect } from "./reconnect.ts";

/** What of an exec's output is wanted. */
export interface LogOptions {
  /** Only what was written then or later. */
  since?: Date | undefined;
  /** Only the last lines, both channels counted together. */
  tail?: number | undefined;
  /** Go on until the exec has ended. */
  follow?: boolean | undefined;
  /** Where to begin, instead of `since` and `tail`. */
  from?: LogPosition | undefined;
  /** Where to end, instead of the end as it is now; `tail` counts the lines before it. */
  until?: LogPosition | undefined;
  /** Told first: where the output begins, and where it ends as things are. */
  onRange?: ((range: { from: LogPosition; end: LogPosition | undefined }) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A piece of output. */
export interface LogChunk {
  channel: "stdout" | "stderr";
  /** When the daemon got it. */
  time: Date;
  /** Of its first byte, counted from the exec's start. */
  offset: number;
  data: Uint8Array;
}

/** Makes one request for the log; the query says from where on. */
export type LogRequest = (query: Record<string, string>) => Promise<AsyncIterable<Uint8Array>>;

/** The daemon's records are far smaller. */
const MAX_RECORD_BYTES = 8 << 20;

/** Answers in a row that end without an output and without saying that they are whole. */
const MAX_CUT_OFF = 20;

interface LogRecord {
  channel: number;
  timeMs: number;
  offset: number;
  data: Uint8Array;
}

/** Splits a body into records. Ends where the body does, be it in the middle of one. @throws ThawError `internal` for other bytes. */
export async function* parseRecords(body: AsyncIterable<Uint8Array>): AsyncGenerator<LogRecord, void> {
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of body) {
    rest = rest.length === 0 ? chunk : joinBytes([rest, chunk]);
    while (rest.length >= LOG_RECORD_HEADER_BYTES) {
      const header = new DataView(rest.buffer, rest.byteOffset, LOG_RECORD_HEADER_BYTES);
      const length = header.getUint32(4, true);
      if (length > MAX_RECORD_BYTES || (rest[0] ?? 0) > channel.status)
        throw new ThawError("internal", "the daemon's log has a record of the wrong shape");
      if (rest.length < LOG_RECORD_HEADER_BYTES + length) break;
      yield {
        channel: rest[0] ?? 0,
        timeMs: Number(header.getBigUint64(8, true)),
        offset: Number(header.getBigUint64(16, true)),
        data: rest.subarray(LOG_RECORD_HEADER_BYTES, LOG_RECORD_HEADER_BYTES + length),
      };
      rest = rest.subarray(LOG_RECORD_HEADER_BYTES + length);
    }
  }
}

/**
 * Yields an exec's output; survives a restart of the daemon by going on at the offsets where it was.
 * @returns the exec as it was when all had been sent.
 */
export async function* readLog(
  request: LogRequest,
  options: LogOptions,
): AsyncGenerator<LogChunk | { channel: "stdout" | "stderr"; droppedUntil: number }, Exec> {
  const { since, tail, follow = false, from, until, onRange, signal } = options;
  const first: Record<string, string> = { follow: follow ? "1" : "0" };
  if (since !== undefined) first.since = String(Math.max(0, since.getTime()));
  if (tail !== undefined) first.tail = String(tail);
  if (until !== undefined) Object.assign(first, { untilOut: `${until.out}`, untilErr: `${until.err}` });
  let position: LogPosition | undefined = from === undefined ? undefined : { ...from };
  let isReached = false;
  for (let cutOff = 0; ; ) {
    let body: AsyncIterable<Uint8Array> | undefined;
    const query =
      position === undefined ? first : { ...first, out: `${position.out}`, err: `${position.err}` };
    const ask = async (): Promise<void> => {
      body = await request(query);
    };
    // only what has been reached once is waited for
    await (isReached ? reconnect(ask, signal) : ask());
    try {
      for await (const record of parseRecords(body as AsyncIterable<Uint8Array>)) {
        if (record.channel === channel.status) {
          const status = JSON.parse(new TextDecoder().decode(record.data)) as LogStatus;
          if (status.type === "end") return status.exec;
          if (status.type === "error") throw ThawError.fromApi(status, "the daemon can't read the log");
          if (status.type === "from") {
            const { out, err, end } = status;
            position ??= { out, err };
            if (!isReached) onRange?.({ from: { out, err }, end });
            isReached = true;
          }
          if (status.type !== "dropped") continue;
          if (position !== undefined) position[status.channel] = status.offset;
          yield { channel: status.channel === "out" ? "stdout" : "stderr", droppedUntil: status.offset };
          continue;
        }
        cutOff = 0;
        const { data, offset } = record;
        const name = record.channel === channel.stdout ? "stdout" : "stderr";
        if (position !== undefined)
          position[record.channel === channel.stdout ? "out" : "err"] = offset + data.length;
        yield { channel: name, time: new Date(record.timeMs), offset, data };
      }
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== "daemon-unreachable") throw error;
    }
    signal?.throwIfAborted();
    if (++cutOff > MAX_CUT_OFF) {
      throw new ThawError("daemon-unreachable", "the daemon's log was cut off again and again", {
        hint: "thaw daemon logs",
      });
    }
  }
}
