/** What happens to a sandbox by itself: when a timer is due, and when the host runs short of memory. */
import { EngineError } from "../errors.ts";
import type { Action } from "../lifecycle/timers.ts";
import { MemoryPressure } from "../memory-pressure.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { freezeToDisk } from "./freeze.ts";
import { removeSandbox } from "./remove.ts";

const UNDER_PRESSURE = { why: "memory pressure" };

/** Watches the host's memory. */
export function memoryPressure(parts: Parts): MemoryPressure<Sandbox> {
  const { runner, admission, registry, audit, pools } = parts;
  const { pause, liveFreeze } = runner.capabilities;
  return new MemoryPressure<Sandbox>({
    ...{ memory: runner.memory, admission },
    owners: () => (pause && liveFreeze ? registry.present : []),
    hasSpares: () => pools.hasSpares,
    async pause(sandbox, reason) {
      await sandbox.pauseIfUnused(`${reason}; a request wakes it`, { idle: true });
      if (sandbox.record.state === "paused")
        audit.note("pause", sandbox.record.name, { id: sandbox.id, ...UNDER_PRESSURE });
    },
    async freeze(sandbox, reason) {
      await freezeToDisk(parts, sandbox, `frozen: ${reason}; a request wakes it`);
      audit.note("stop", sandbox.record.name, { id: sandbox.id, ...UNDER_PRESSURE });
    },
  });
}

export async function actByTimer(parts: Parts, sandbox: Sandbox, action: Action): Promise<void> {
  const { audit, clock } = parts;
  const { id, record } = sandbox;
  switch (action) {
    case "pause":
      await sandbox.pauseIfUnused(`idle for ${Math.round((record.timers.idleMs ?? 0) / 1000)} s`);
      return audit.note("pause", record.name, { id, why: "idle" });
    case "stop":
      await freezeToDisk(parts, sandbox, "frozen after a long pause; a request wakes it");
      return audit.note("stop", record.name, { id, why: "paused for long" });
    case "remove": {
      const timeIsUp = Date.parse(record.timers.expiresAt ?? "") <= clock.wall();
      const why = timeIsUp
        ? `its time was up (--ttl): it was to end at ${record.timers.expiresAt}`
        : `it was ${record.state} for long (--remove-after)`;
      const error = new EngineError("timeout", `sandbox ${record.name} was removed: ${why}`);
      return removeSandbox(parts, id, error);
    }
  }
}
