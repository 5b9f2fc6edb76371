/** The output of a command, a bounded piece of it at a time: the end as it comes, or what was before. */
import { useEffect, useState } from "react";
import { formatEnd } from "../../../api/ending.ts";
import type { LogPosition } from "../../../api/schema.ts";
import type { ExecReference, LogChunk } from "../../../client/browser.ts";
import { type Trouble, troubleOf } from "../../../client/follow/state.ts";
import { pause } from "../../../client/pause.ts";
import { thaw } from "../../client.ts";
import { Tail } from "../../parts/tail.ts";
import { followAgain } from "../../state/again.ts";

/** Lines of a piece. */
const KEPT = 1000;
/** Read of a piece at most: lines may be of any length. */
const MOST_BYTES = 4 << 20;
/** When a command writes more than this in such a time, its output is read anew from its end. */
const FLOOD = { bytes: 1 << 20, withinMs: 200 };
const FLOOD_PAUSE_MS = 2000;
/** The lines are drawn this often at most. */
const DRAW_MS = 100;
const NEWLINE = 0x0a;
const TOO_LONG = "Its lines are long: only a part of them is shown here; the download has all.";

/** What of the output is wanted: its end, the lines before a place, or those from there on. */
export type Place = "end" | { before: LogPosition } | { after: LogPosition };

export interface Log {
  lines: readonly string[];
  /** How it ended; undefined: it has not. */
  end?: string | undefined;
  remark?: string | undefined;
  trouble?: Trouble | undefined;
  /** Where the lines begin and end in the output; undefined: not known yet. */
  from?: LogPosition | undefined;
  to?: LogPosition | undefined;
  /** Whether all that was wanted is here. */
  isWhole?: boolean;
}

interface Followed {
  sandbox: string;
  exec: string;
}

type Set = (log: Log) => void;

const sizeOf = ({ from, to }: { from: LogPosition; to: LogPosition }): number =>
  to.out - from.out + to.err - from.err;

/** Where a piece begins that ends there and is not too large. */
function cutFrom(from: LogPosition, to: LogPosition): LogPosition {
  const part = (of: "out" | "err"): number => Math.max(from[of], to[of] - MOST_BYTES / 2);
  return { out: part("out"), err: part("err") };
}

/** Reads lines, and notes how far it came. */
class Piece {
  readonly tail = new Tail(KEPT);
  from: LogPosition | undefined;
  end: LogPosition | undefined;
  to: LogPosition = { out: 0, err: 0 };
  readonly onRange = ({ from, end }: { from: LogPosition; end: LogPosition | undefined }): void => {
    this.from ??= from;
    this.end = end;
    this.to = { ...from };
  };

  get isTooLong(): boolean {
    return (
      this.from !== undefined &&
      this.end !== undefined &&
      sizeOf({ from: this.from, to: this.end }) > MOST_BYTES
    );
  }

  /** @param length bytes that are taken of it */
  push({ channel, offset, data }: LogChunk, length = data.length): void {
    this.tail.push(data.subarray(0, length));
    this.to[channel === "stdout" ? "out" : "err"] = offset + length;
  }

  skip(channel: "stdout" | "stderr", until: number): void {
    this.tail.add("… earlier output is no longer kept");
    this.to[channel === "stdout" ? "out" : "err"] = until;
  }
}

/** The end of the output, as it comes. */
async function followEnd(at: ExecReference, set: Set, signal: AbortSignal): Promise<void> {
  let remark: string | undefined;
  for (;;) {
    const piece = new Piece();
    const { tail, onRange } = piece;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (part: Partial<Log> = {}): void => {
      clearTimeout(timer);
      timer = undefined;
      // of lines that went out of sight, nobody knows where they were
      const from = tail.dropped === 0 ? piece.from : piece.to;
      if (!signal.aborted) set({ lines: tail.lines, remark, from, to: { ...piece.to }, ...part });
    };
    try {
      const info = await at.get({ signal });
      // a command that has ended writes no more: its last lines are read whole
      const mayFlood = info.state === "running" || info.state === "starting";
      let window = { since: performance.now(), bytes: 0 };
      let isFlood = false;
      let from: LogPosition | undefined;
      for (let isBegun = false; !isBegun; ) {
        isBegun = true;
        for await (const chunk of at.logs({ tail: KEPT, from, follow: true, onRange, signal })) {
          if (from === undefined && piece.isTooLong) {
            from = cutFrom(piece.from ?? piece.to, piece.end ?? piece.to);
            piece.from = undefined;
            remark = TOO_LONG;
            isBegun = false;
            break;
          }
          if (!("data" in chunk)) {
            piece.skip(chunk.channel, chunk.droppedUntil);
            continue;
          }
          piece.push(chunk);
          timer ??= setTimeout(draw, DRAW_MS);
          const now = performance.now();
          if (now - window.since > FLOOD.withinMs) window = { since: now, bytes: 0 };
          window.bytes += chunk.data.length;
          isFlood = mayFlood && window.bytes > FLOOD.bytes;
          if (isFlood) break;
        }
      }
      // of lines that went out of sight nobody knows where they were: now that it writes no more, they are read once
      if (!isFlood && mayFlood && tail.dropped > 0) continue;
      if (!isFlood) {
        const { exit, error } = await at.get({ signal });
        const isCut = remark === TOO_LONG;
        return draw({
          end: error?.message ?? formatEnd(exit),
          ...(isCut ? {} : { remark: undefined }),
          isWhole: true,
        });
      }
      remark = "Output comes faster than it can be shown; this is what it wrote last.";
      draw();
    } finally {
      clearTimeout(timer);
    }
    await pause(FLOOD_PAUSE_MS, signal);
  }
}

/** The lines before a place. */
async function readBefore(
  at: ExecReference,
  before: LogPosition,
  set: Set,
  signal: AbortSignal,
): Promise<void> {
  let from: LogPosition | undefined;
  for (;;) {
    const piece = new Piece();
    const { onRange } = piece;
    for await (const chunk of at.logs({ tail: KEPT, until: before, from, onRange, signal })) {
      if (from === undefined && piece.isTooLong) break;
      if ("data" in chunk) piece.push(chunk);
      else piece.skip(chunk.channel, chunk.droppedUntil);
    }
    if (from === undefined && piece.isTooLong) {
      from = cutFrom(piece.from ?? before, before);
      continue;
    }
    const remark = from === undefined ? undefined : TOO_LONG;
    return set({ lines: piece.tail.lines, from: piece.from, to: before, remark, isWhole: true });
  }
}

/** The lines from a place on. */
async function readAfter(
  at: ExecReference,
  after: LogPosition,
  set: Set,
  signal: AbortSignal,
): Promise<void> {
  const piece = new Piece();
  const { onRange } = piece;
  let lines = 0;
  let bytes = 0;
  for await (const chunk of at.logs({ from: after, onRange, signal })) {
    if (!("data" in chunk)) {
      piece.skip(chunk.channel, chunk.droppedUntil);
      continue;
    }
    let length = 0;
    for (const { data } = chunk; length < data.length && lines < KEPT && bytes < MOST_BYTES; length += 1) {
      if (data[length] === NEWLINE) lines += 1;
      bytes += 1;
    }
    piece.push(chunk, length);
    if (lines >= KEPT || bytes >= MOST_BYTES) break;
  }
  const remark = bytes >= MOST_BYTES ? TOO_LONG : undefined;
  set({ lines: piece.tail.lines, from: after, to: piece.to, remark, isWhole: true });
}

/** A piece of a command's output; its end is followed for as long as the component is there. */
export function useLog({ sandbox, exec }: Followed, place: Place): Log {
  const [log, setLog] = useState<Log>({ lines: [] });
  useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    const at = thaw.sandboxes.at(sandbox).execAt(exec);
    setLog({ lines: [] });
    const set = (next: Log): void => {
      if (!signal.aborted) setLog(next);
    };
    const read = (): Promise<void> => {
      if (place === "end") return followEnd(at, set, signal);
      return "before" in place
        ? readBefore(at, place.before, set, signal)
        : readAfter(at, place.after, set, signal);
    };
    const say = (error: unknown): void =>
      setLog((before) => ({ ...before, trouble: error === undefined ? undefined : troubleOf(error) }));
    void followAgain(read, { signal, say });
    return () => abort.abort();
  }, [sandbox, exec, place]);
  return log;
}
