/** Forwards of a sandbox: added and ended, and kept in its record. */
import type { Forward, ForwardRequest, PortsState } from "../../api/ports.ts";
import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";
import { hasChanged } from "../sandboxes/changes.ts";
import { type ForwardKey, keyOf } from "../sandboxes/forwards.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";

/** Listens, once for a request. Throws `conflict` or `usage` when it can't listen; the sandbox is as it was then. */
export async function addForward(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  asked: ForwardRequest,
  request?: string,
): Promise<Forward> {
  const { record } = sandbox;
  const { port = null, path = null, guest } = asked;
  const made = record.forwards.findLast(
    (one) => one.guest === guest && one.path === path && (port === 0 || one.port === port),
  );
  if (made !== undefined && hasChanged(record, request)) return made;
  checkVerb("extend", record);
  const forward = await sandbox.forwards.open(asked);
  await sandbox.change(() => {
    record.forwards = [...record.forwards, forward];
    return () => {
      sandbox.forwards.close(keyOf(forward));
      record.forwards = record.forwards.filter((one) => one !== forward);
    };
  }, request);
  audit.note("port", record.name, { id: sandbox.id, ...forward });
  return forward;
}

/** Throws `not-found`. */
export async function removeForward(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  key: ForwardKey,
): Promise<void> {
  const { record } = sandbox;
  await sandbox.change(() => {
    const before = record.forwards;
    record.forwards = before.filter((forward) => keyOf(forward) !== key);
    if (record.forwards.length === before.length)
      throw new EngineError(
        "not-found",
        `sandbox ${record.name} has no forward of ${typeof key === "number" ? "port " : ""}${key}`,
        { hint: `thaw port ${record.name}` },
      );
    return () => {
      record.forwards = before;
    };
  });
  sandbox.forwards.close(key);
  audit.note("port rm", record.name, { id: sandbox.id, host: key });
}

export async function portsOf(sandbox: Sandbox): Promise<PortsState> {
  const { listening } = await sandbox.inspectGuest();
  const forwards = sandbox.record.forwards.map((forward) => ({
    ...forward,
    fault: sandbox.forwards.faults.get(keyOf(forward)) ?? null,
  }));
  return { forwards, listening };
}
