/** The form of a sandbox's timers: what was changed in it, as a request, and as the command that does the same. */
import { parseDuration, writeDuration } from "../../../api/duration.ts";
import type { PatchRequest, Sandbox } from "../../../api/schema.ts";

export const TIMERS = ["ttl", "idle", "stopAfter", "removeAfter"] as const;
export type Timer = (typeof TIMERS)[number];
/** What was typed; a timer that nobody touched is not here. */
export type TimerFields = Partial<Record<Timer, string>>;

const FLAGS = {
  ttl: "--ttl",
  idle: "--idle",
  stopAfter: "--stop-after",
  removeAfter: "--remove-after",
} as const;

type Timed = Pick<Sandbox, "name" | "createdAt" | "expiresAt" | "idleMs" | "stopAfterMs" | "removeAfterMs">;

/** As they are now; empty: never. */
export function timersOf(sandbox: Timed): Record<Timer, string> {
  const { createdAt, expiresAt, idleMs, stopAfterMs, removeAfterMs } = sandbox;
  // a daemon of an earlier version does not tell them
  const text = (ms: number | null | undefined): string => (ms == null ? "" : writeDuration(ms));
  return {
    ttl: text(expiresAt === null ? null : Date.parse(expiresAt) - Date.parse(createdAt)),
    ...{ idle: text(idleMs), stopAfter: text(stopAfterMs), removeAfter: text(removeAfterMs) },
  };
}

export interface ReadTimers {
  request: Pick<PatchRequest, `${Timer}Ms`>;
  args: readonly string[];
  mistakes: Partial<Record<Timer, string>>;
}

/** @param edited what differs from how it is now counts */
export function readTimers(sandbox: Timed, edited: TimerFields): ReadTimers {
  const now = timersOf(sandbox);
  const read: ReadTimers = { request: {}, args: [], mistakes: {} };
  const args = ["set", sandbox.name];
  for (const timer of TIMERS) {
    const text = edited[timer]?.trim();
    if (text === undefined || text === now[timer]) continue;
    try {
      read.request[`${timer}Ms`] = text === "" ? null : parseDuration(text);
      args.push(FLAGS[timer], text === "" ? "never" : text);
    } catch (error) {
      read.mistakes[timer] = error instanceof Error ? error.message : String(error);
    }
  }
  return { ...read, args };
}
