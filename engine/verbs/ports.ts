/** Forwards of a sandbox: added and ended, and kept in its record. */
import type { Forward, ForwardRequest, PortsState } from "../../api/ports.ts";
import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";
import { forgetChange, hasChanged, noteChange } from "../sandboxes/changes.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";

/** Listens, once for a request. Throws `conflict` or `usage` when it can't listen; the sandbox is as it was then. */
export async function addForward(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  { address, port, guest }: ForwardRequest,
  request?: string,
): Promise<Forward> {
  const { record } = sandbox;
  const made = record.forwards.findLast((one) => one.guest === guest && (port === 0 || one.port === port));
  if (made !== undefined && hasChanged(record, request)) return made;
  checkVerb("extend", record);
  const forward = await sandbox.forwards.open({ address: address ?? null, port, guest });
  record.forwards = [...record.forwards, forward];
  noteChange(record, request);
  try {
    await sandbox.persist();
  } catch (error) {
    forgetChange(record, request);
    await removeForward({ audit }, sandbox, forward.port).catch(() => {});
    throw error;
  }
  audit.note("port", record.name, { id: sandbox.id, ...forward });
  return forward;
}

/** Throws `not-found`. */
export async function removeForward(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  port: number,
): Promise<void> {
  const { record } = sandbox;
  const left = record.forwards.filter((forward) => forward.port !== port);
  if (left.length === record.forwards.length)
    throw new EngineError("not-found", `sandbox ${record.name} has no forward of port ${port}`, {
      hint: `thaw port ${record.name}`,
    });
  sandbox.forwards.close(port);
  record.forwards = left;
  await sandbox.persist();
  audit.note("port rm", record.name, { id: sandbox.id, port });
}

export async function portsOf(sandbox: Sandbox): Promise<PortsState> {
  const { listening } = await sandbox.inspectGuest();
  const forwards = sandbox.record.forwards.map((forward) => ({
    ...forward,
    fault: sandbox.forwards.faults.get(forward.port) ?? null,
  }));
  return { forwards, listening };
}
