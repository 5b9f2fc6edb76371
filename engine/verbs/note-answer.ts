import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/**
 * Notes whether the client of a sandbox's request has the answer. Call it with true before the answer is sent, and with false when it could
 * not be sent: what nobody was told of ends as a lease does, unless its client asks again.
 */
export async function noteAnswer({ leases }: Parts, sandbox: Sandbox, answered: boolean): Promise<void> {
  const { id, record } = sandbox;
  if (record.request === null || record.request.answered === answered) return;
  record.request.answered = answered;
  if (!answered) leases.awaitReturn(id);
  else if (!record.leased) leases.forget(id);
  await sandbox.persist();
}
