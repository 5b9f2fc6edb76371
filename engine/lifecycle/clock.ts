/**
 * The two clocks of a host. The wall clock says when; it can be set, and it runs on while the host sleeps. The monotonic one says how long;
 * it can't be set and stands still while the host sleeps. When they disagree, the wall clock has jumped.
 */
import { z } from "zod";
import { recordKind } from "../state/record.ts";

export interface Clock {
  /** ms since the epoch. */
  wall(): number;
  /** ms since the host was started; the same for every process until the next start. */
  monotonic(): number;
  /** Names this start of the host: monotonic times of another one mean nothing. */
  bootId(): string;
}

/** A reading of both, to compare a later one with. */
const clockReading = z.object({ wall: z.number(), monotonic: z.number(), boot: z.string() });
export const clockKind = recordKind("clock reading", clockReading);
export type ClockReading = z.infer<typeof clockReading>;

/** Smaller differences are the clock being kept in step. */
export const JUMP_MS = 2_000;

export function readClock(clock: Clock): ClockReading {
  return { wall: clock.wall(), monotonic: clock.monotonic(), boot: clock.bootId() };
}

/** How far the wall clock has jumped between two readings, ms, negative for back; 0 when it kept time or that can't be known. */
export function jumpBetween(before: ClockReading, now: ClockReading): number {
  if (before.boot !== now.boot) return 0;
  const jump = now.wall - before.wall - (now.monotonic - before.monotonic);
  return Math.abs(jump) < JUMP_MS ? 0 : jump;
}
