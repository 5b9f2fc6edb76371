/** What happens to a sandbox by itself, and when: pure functions of its timers and the time. docs/LIFECYCLE.md says it in words. */
import type { SandboxState } from "../../api/closed-lists.ts";
import type { Timers } from "../sandboxes/record.ts";

export type Action = "pause" | "stop" | "remove";

export interface Next {
  action: Action;
  /** ISO 8601. */
  at: string;
}

/** What a request may say; absent: the host's default; null: never. */
export interface TimerRequest {
  ttlMs?: number | null | undefined;
  idleMs?: number | null | undefined;
  stopAfterMs?: number | null | undefined;
  removeAfterMs?: number | null | undefined;
}

/** More CPU than this, as a share of one processor, is work. An idle guest ticks far below it. */
export const BUSY_SHARE = 0.05;
/** Less than this between two readings says nothing: the kernel counts in ticks of 10 ms, and an idle guest has its moments. */
export const BUSY_LEAST_MS = 50;
/** A hard end that a jump of the clock made due is put off this long, so that somebody can object. */
export const JUMP_GRACE_MS = 60_000;

const iso = (ms: number): string => new Date(ms).toISOString();

export function newTimers(asked: TimerRequest, defaults: TimerRequest, nowMs: number): Timers {
  const pick = (key: keyof TimerRequest): number | null =>
    (asked[key] === undefined ? defaults[key] : asked[key]) ?? null;
  const ttlMs = pick("ttlMs");
  return {
    expiresAt: ttlMs === null ? null : iso(nowMs + ttlMs),
    idleMs: pick("idleMs"),
    stopAfterMs: pick("stopAfterMs"),
    removeAfterMs: pick("removeAfterMs"),
    idleSince: null,
    idleCpuMs: 0,
    stateSince: iso(nowMs),
  };
}

/** The first thing that will happen; null when nothing will as things are. */
export function nextOf(
  state: SandboxState,
  timers: Timers,
  able: { pause: boolean; stop: boolean },
): Next | null {
  const { expiresAt, idleSince, idleMs, stateSince, stopAfterMs, removeAfterMs } = timers;
  const after = (since: string | null, ms: number | null, action: Action): Next | null =>
    since === null || ms === null ? null : { action, at: iso(Date.parse(since) + ms) };
  const expiry: Next | null = expiresAt === null ? null : { action: "remove", at: expiresAt };
  switch (state) {
    case "removing":
    case "removed":
      return null;
    case "running":
      return firstOf(expiry, able.pause ? after(idleSince, idleMs, "pause") : null);
    case "paused":
      return firstOf(expiry, able.stop ? after(stateSince, stopAfterMs, "stop") : null);
    case "stopped":
    case "failed":
      return firstOf(expiry, after(stateSince, removeAfterMs, "remove"));
    default:
      return expiry;
  }
}

/** Times are ISO 8601, which sorts as text. */
function firstOf(a: Next | null, b: Next | null): Next | null {
  if (a === null || b === null) return a ?? b;
  return a.at <= b.at ? a : b;
}

/** What was seen of a running sandbox. */
export interface Sample {
  nowMs: number;
  cpuMs: number;
  /** A client is attached, or a request is under way. */
  used: boolean;
}

/** Whether a machine worked between two readings of its CPU time. */
export function worked(
  before: { atMs: number; cpuMs: number },
  now: { atMs: number; cpuMs: number },
): boolean {
  const span = now.atMs - before.atMs;
  return now.cpuMs - before.cpuMs > Math.max(BUSY_LEAST_MS, span * BUSY_SHARE);
}

/**
 * Its idle time after a sample: from this sample on when it was busy before, nothing while it is busy. `before` is the last sample; without
 * one (a daemon has just come) what it used since its idle time began decides.
 */
export function idleAfter(
  timers: Pick<Timers, "idleSince" | "idleCpuMs">,
  before: { atMs: number; cpuMs: number } | null,
  { nowMs, cpuMs, used }: Sample,
): Pick<Timers, "idleSince" | "idleCpuMs"> {
  const busy = { idleSince: null, idleCpuMs: cpuMs };
  if (used) return busy;
  const since =
    timers.idleSince === null ? null : { atMs: Date.parse(timers.idleSince), cpuMs: timers.idleCpuMs };
  const reference = before ?? since;
  if (reference !== null && worked(reference, { atMs: nowMs, cpuMs })) return busy;
  return since === null ? { idleSince: iso(nowMs), idleCpuMs: cpuMs } : timers;
}

/**
 * After the wall clock jumped: what counts a length of time goes on counting it, so its start moves along. A hard end is a time of day and
 * stays; one that only the jump made due is put off by a minute.
 */
export function afterJump(timers: Timers, jumpMs: number, nowMs: number): Timers {
  const move = (time: string | null): string | null =>
    time === null ? null : iso(Date.parse(time) + jumpMs);
  const end = timers.expiresAt === null ? null : Date.parse(timers.expiresAt);
  const madeDue = end !== null && end <= nowMs && end > nowMs - jumpMs;
  return {
    ...timers,
    idleSince: move(timers.idleSince),
    stateSince: move(timers.stateSince),
    expiresAt: madeDue ? iso(nowMs + JUMP_GRACE_MS) : timers.expiresAt,
  };
}
