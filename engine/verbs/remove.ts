import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";

/** Every caller waits for the same end. @param why what its execs end with */
export async function removeSandbox(parts: Parts, id: string, why?: EngineError): Promise<void> {
  const creation = parts.registry.creations.get(id);
  if (creation) {
    creation.abort.abort(new EngineError("cancelled", "it was removed while it was made"));
    await creation.settled;
    return;
  }
  await discard(parts, id, why);
}

/** Ends it and forgets it, with what was made for it alone. */
export async function discard(parts: Parts, id: string, why?: EngineError): Promise<void> {
  const { registry, leases, admission, audit } = parts;
  const sandbox = registry.get(id);
  if (!sandbox) return;
  const first = sandbox.record.state !== "removed";
  leases.forget(id);
  await sandbox.remove(why);
  if (!registry.delete(sandbox)) return;
  admission.free(id);
  await dropOwnSnapshot(parts, sandbox.record.ownSnapshot).catch(() => {});
  if (first) audit.note("rm", sandbox.record.name, { id, ...(why ? { why: why.message } : {}) });
}

/** The client of a leased sandbox is gone, which may be worth a capture. */
export async function endLease(parts: Parts, id: string): Promise<void> {
  await parts.registry.get(id)?.captureCancelled();
  await removeSandbox(parts, id);
}

/** Removes a snapshot that was made for one sandbox, unless another sandbox, a capture or a tag has come to need it. */
export async function dropOwnSnapshot({ archive, snapshots }: Parts, id: string | null): Promise<void> {
  if (id === null || (await archive.usersOf(id)).length > 0) return;
  if (![...(await snapshots.tags()).values()].includes(id)) await snapshots.remove(id);
}
