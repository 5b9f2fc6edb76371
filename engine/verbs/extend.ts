import { EngineError } from "../errors.ts";
import { checkTtl } from "../lifecycle/time-limits.ts";
import type { Parts } from "../parts.ts";
import { hasChanged } from "../sandboxes/changes.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";

/** Extends its time to live, once for a request. Throws `conflict` when it has none. */
export async function extend(
  parts: Parts,
  reference: string,
  { byMs, request }: { byMs: number; request?: string | undefined },
): Promise<Sandbox> {
  const { registry, config, lifecycle, audit, events } = parts;
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  if (hasChanged(record, request)) return sandbox;
  let until = "";
  await sandbox.change(() => {
    checkVerb("extend", record);
    const { expiresAt } = record.timers;
    if (expiresAt === null)
      throw new EngineError("conflict", `sandbox ${record.name} has no time to live; set one with --ttl`);
    const end = Date.parse(expiresAt) + byMs;
    checkTtl(config.required(), record.name, end - Date.parse(record.createdAt));
    until = new Date(end).toISOString();
    record.timers.expiresAt = until;
    return () => {
      record.timers.expiresAt = expiresAt;
    };
  }, request);
  lifecycle.poke();
  const details = { expiresAt: until };
  audit.note("extend", record.name, { id, ...details });
  events.append({ type: "sandbox.extended", target: id, name: record.name, sandbox: id, details });
  return sandbox;
}
