import { needCapabilities } from "../capabilities.ts";
import { EngineError } from "../errors.ts";
import { checkTtl } from "../lifecycle/time-limits.ts";
import type { TimerRequest } from "../lifecycle/timers.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";

/** Sets timers of a sandbox; null: never. Throws `usage` for an end that is over, or beyond the host's limit. */
export async function retime(parts: Parts, reference: string, asked: TimerRequest): Promise<Sandbox> {
  const { registry, config, lifecycle, clock, audit, events, runner } = parts;
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  checkVerb("extend", record);
  const { ttlMs, idleMs, stopAfterMs, removeAfterMs } = asked;
  needCapabilities(runner, "set these timers", {
    pause: typeof idleMs === "number",
    liveFreeze: typeof stopAfterMs === "number",
  });
  const { timers } = record;
  await sandbox.change(() => {
    const { expiresAt, idleMs: idle, stopAfterMs: stopAfter, removeAfterMs: removeAfter } = timers;
    if (ttlMs !== undefined) {
      checkTtl(config.required(), record.name, ttlMs ?? Number.POSITIVE_INFINITY);
      const end = ttlMs === null ? null : Date.parse(record.createdAt) + ttlMs;
      if (end !== null && end <= clock.wall())
        throw new EngineError("usage", `sandbox ${record.name} is older than that`, {
          hint: `to remove it: thaw rm ${record.name}`,
        });
      timers.expiresAt = end === null ? null : new Date(end).toISOString();
    }
    if (idleMs !== undefined) timers.idleMs = idleMs;
    if (stopAfterMs !== undefined) timers.stopAfterMs = stopAfterMs;
    if (removeAfterMs !== undefined) timers.removeAfterMs = removeAfterMs;
    return () =>
      Object.assign(timers, { expiresAt, idleMs: idle, stopAfterMs: stopAfter, removeAfterMs: removeAfter });
  });
  lifecycle.poke();
  const { expiresAt } = timers;
  audit.note("timers", record.name, { id, ...asked });
  events.append({
    ...{ type: "sandbox.retimed", target: id, name: record.name, sandbox: id },
    details: { expiresAt },
  });
  return sandbox;
}
