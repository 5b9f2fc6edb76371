/** Keeps a sandbox on disk and ends its machine; a request, or `start`, lets it go on where it was. */
import { needCapabilities } from "../capabilities.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";
import { freezeToDisk } from "./freeze.ts";

/** Asked again, it is answered by the state that it has brought about. Throws `conflict` while somebody is attached. */
export async function stop(parts: Parts, reference: string): Promise<Sandbox> {
  const { registry, runner, audit } = parts;
  needCapabilities(runner, "stop", { pause: true, liveFreeze: true });
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  await sandbox.adopt();
  // One that is stopped is as wanted, whoever stopped it.
  if (record.frozen !== null) return sandbox;
  checkVerb("stop", record);
  const ran = record.state === "running";
  await sandbox.during(async () => {
    if (ran) await sandbox.pause();
    try {
      await freezeToDisk(parts, sandbox, "stopped; a request, or thaw start, lets it go on");
    } catch (error) {
      if (ran) await sandbox.wake();
      throw error;
    }
  });
  audit.note("stop", record.name, { id });
  return sandbox;
}
