import { needCapabilities } from "../capabilities.ts";
import type { StoredCapture } from "../captures/store.ts";
import { interruptible } from "../interruptible.ts";
import type { Parts } from "../parts.ts";
import { checkVerb } from "../sandboxes/state.ts";

/** Captures a sandbox by hand; it goes on. Asked again by the same request, the answer is the capture that there is. Aborted, none is left. */
export async function capture(
  { runner, registry, captures, audit }: Parts,
  reference: string,
  { request, signal }: { request?: string | undefined; signal: AbortSignal },
): Promise<StoredCapture> {
  needCapabilities(runner, "take a capture", { liveFreeze: true });
  const made = request === undefined ? null : await captures.store.madeFor(request);
  if (made !== null) return made;
  const sandbox = registry.find(reference);
  checkVerb("freeze", sandbox.record);
  return interruptible(signal, async () => {
    const cause = { ending: { trigger: "manual" as const, exit: null }, exec: null, request, signal };
    const { id } = await sandbox.during(() => captures.take(sandbox, cause));
    audit.note("capture create", sandbox.record.name, { capture: id });
    return await captures.store.get(id);
  });
}
