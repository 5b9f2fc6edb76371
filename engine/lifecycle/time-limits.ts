/** A new sandbox's timers: what the request says, the host's defaults, and the host's limits. */
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import type { Timers } from "../sandboxes/record.ts";
import { newTimers, type TimerRequest } from "./timers.ts";

/** Throws `usage` for timers that the host's limits do not allow. @param name undefined: it has none yet */
export function timersFor(
  config: Config,
  name: string | undefined,
  asked: TimerRequest,
  nowMs: number,
): Timers {
  const { ttl, idle, stopAfter, removeAfter } = config.defaults;
  const defaults = {
    ttlMs: ttl ?? config.limits.sandbox.ttl ?? null,
    idleMs: idle ?? null,
    stopAfterMs: stopAfter ?? null,
    removeAfterMs: removeAfter ?? null,
  };
  if (asked.ttlMs !== undefined) checkTtl(config, name, asked.ttlMs ?? Number.POSITIVE_INFINITY);
  return newTimers(asked, defaults, nowMs);
}

/** Throws `usage` for a time to live above the host's limit. */
export function checkTtl(config: Config, name: string | undefined, ttlMs: number): void {
  const most = config.limits.sandbox.ttl;
  if (most !== undefined && ttlMs > most)
    throw new EngineError(
      "usage",
      `${name === undefined ? "the sandbox" : `sandbox ${name}`} would live longer than this host allows: ${Math.round(most / 1000)} s`,
    );
}
