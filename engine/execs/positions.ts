/** Where in an exec's log a reader begins: from a time on, the last lines, or the scrollback. */
import type { ExecLog, Output } from "./log.ts";

/** An offset of each channel. */
export interface Position {
  out: number;
  err: number;
}

const NEWLINE = 0x0a;

/** The ends of both channels as they are now. */
export function endOf(log: ExecLog): Position {
  return { out: log.out, err: log.err };
}

/**
 * Where what was written at `sinceMs` (epoch) or later begins, and of that the last `tail` lines, both channels counted together. A line
 * belongs where it began. What comes after `end` (default: now) is not looked at. Without either: the start of what is kept.
 */
export async function positionOf(
  log: ExecLog,
  asked: { sinceMs?: number | undefined; tail?: number | undefined; end?: Position },
): Promise<Position> {
  const { sinceMs = 0, tail, end = endOf(log) } = asked;
  if (tail === undefined && asked.sinceMs === undefined) return { out: 0, err: 0 };
  const lines = new LastLines(tail);
  const fresh = { 1: true, 2: true };
  for await (const { channel, offset, timeMs, data: whole } of log.readAll({ 1: 0, 2: 0 })) {
    const data = whole.subarray(0, Math.max(0, (channel === 1 ? end.out : end.err) - offset));
    if (timeMs < sinceMs || data.length === 0) continue;
    if (fresh[channel]) lines.begin(channel, offset);
    fresh[channel] = false;
    for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) {
      // A line begins with its first byte, which may be in the next piece or never come.
      if (at + 1 === data.length) fresh[channel] = true;
      else if (tail !== undefined) lines.begin(channel, offset + at + 1);
    }
  }
  return { out: lines.first(1) ?? end.out, err: lines.first(2) ?? end.err };
}

/** Remembers where the last lines began, in the order they did; without a number, where the first did. */
class LastLines {
  readonly #limit: number | undefined;
  #starts: { channel: Output; offset: number }[] = [];

  constructor(limit: number | undefined) {
    this.#limit = limit;
  }

  begin(channel: Output, offset: number): void {
    if (this.#limit === undefined) {
      if (this.first(channel) === undefined) this.#starts.push({ channel, offset });
      return;
    }
    this.#starts.push({ channel, offset });
    // Cut back now and then rather than at every line.
    if (this.#starts.length > 2 * this.#limit + 1000) this.#cut(this.#limit);
  }

  first(channel: Output): number | undefined {
    if (this.#limit !== undefined) this.#cut(this.#limit);
    return this.#starts.find((start) => start.channel === channel)?.offset;
  }

  #cut(limit: number): void {
    this.#starts = limit === 0 ? [] : this.#starts.slice(-limit);
  }
}

/** Where the last `bytes` of each channel begin, as far as they are kept: at the start of a line unless it is the very first byte. */
export async function scrollbackOf(log: ExecLog, bytes: number): Promise<Position> {
  const end = endOf(log);
  const asked = { out: Math.max(0, end.out - bytes), err: Math.max(0, end.err - bytes) };
  const found: Record<Output, number | undefined> = { 1: undefined, 2: undefined };
  const begun: Partial<Record<Output, number>> = {};
  for await (const { channel, offset, data } of log.readAll({ 1: asked.out, 2: asked.err })) {
    if (found[channel] !== undefined) continue;
    begun[channel] ??= offset;
    if (offset === 0) found[channel] = 0;
    const newline = found[channel] === undefined ? data.indexOf(NEWLINE) : -1;
    if (newline >= 0) found[channel] = offset + newline + 1;
  }
  return { out: found[1] ?? begun[1] ?? end.out, err: found[2] ?? begun[2] ?? end.err };
}
