/** What a sandbox's timers do. */
import { EngineError } from "../errors.ts";
import type { Action } from "../lifecycle/timers.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { freezeToDisk } from "./freeze.ts";
import { removeSandbox } from "./remove.ts";

export async function actByTimer(parts: Parts, sandbox: Sandbox, action: Action): Promise<void> {
  const { audit, clock } = parts;
  const { id, record } = sandbox;
  switch (action) {
    case "pause":
      await sandbox.pauseIfUnused(`idle for ${Math.round((record.timers.idleMs ?? 0) / 1000)} s`);
      return audit.note("pause", record.name, { id, why: "idle" });
    case "stop":
      await freezeToDisk(parts, sandbox);
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
