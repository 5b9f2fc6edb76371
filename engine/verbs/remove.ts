import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/** Every caller waits for the same end. @param why what its execs end with */
export async function removeSandbox(parts: Parts, id: string, why?: EngineError): Promise<void> {
  const creation = parts.registry.creations.get(id);
  if (creation) {
    creation.abort.abort(new EngineError("cancelled", "it was removed during its creation"));
    await creation.settled;
    return;
  }
  await discard(parts, id, why);
}

/** Ends it, with what was made for it alone. Rejects when its machine does not die: it is tried again by itself, and stays listed. */
export async function discard(parts: Parts, id: string, why?: EngineError): Promise<void> {
  parts.leases.forget(id);
  await parts.registry.get(id)?.remove(why);
}

/** Nothing is left of it: its name is free. */
export async function forgetRemoved(parts: Parts, sandbox: Sandbox, why: EngineError): Promise<void> {
  const { registry, leases, admission, audit, logs, room } = parts;
  const { id, record } = sandbox;
  if (!registry.delete(sandbox)) return;
  leases.forget(id);
  admission.free(id);
  logs.forget(id);
  room.disk.forget(id);
  const asked = why.code === "cancelled";
  audit.note("rm", record.name, { id, ...(asked ? {} : { why: why.message }) });
  await dropOwnSnapshot(parts, record.ownSnapshot).catch(() => {});
}

/** The client of a leased sandbox is gone, which may be worth a capture. */
export async function endLease(parts: Parts, id: string): Promise<void> {
  await parts.registry
    .get(id)
    ?.captureCancelled()
    .catch(() => {});
  await removeSandbox(parts, id);
}

/** Removes a snapshot that was made for one sandbox, unless another sandbox, a capture or a tag has come to need it. */
export async function dropOwnSnapshot({ archive, snapshots }: Parts, id: string | null): Promise<void> {
  if (id === null || (await archive.usersOf(id)).length > 0) return;
  if ((await archive.unclearUsers()).length > 0) return;
  await snapshots.remove(id, []);
}
