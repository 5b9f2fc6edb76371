/**
 * Sandboxes that were paused for long: what the machine had become is kept on disk and the machine is ended, until a request thaws it again.
 * Where the host takes differences, it is one, in the sandbox's own folder; else a snapshot that is made for it alone.
 */
import { mkdir } from "node:fs/promises";
import { publish } from "../../durable/publish.ts";
import { differenceVerdict, freezeSandbox, type LiveContext } from "./freeze.ts";
import { clearFrozen, frozenDir } from "./frozen.ts";
import type { KeptMachine } from "./frozen-machine.ts";
import type { Sandbox } from "./sandbox.ts";

/** Throws `conflict` when somebody uses it: then it stays paused, and nothing is left. */
export async function freezeAndStop(
  context: LiveContext,
  sandbox: Sandbox,
  { signal, reason }: { signal: AbortSignal; reason: string },
): Promise<void> {
  const options = { signal, onProgress: () => {} };
  const verdict = await differenceVerdict(context, sandbox, options);
  let taken: KeptMachine | undefined;
  try {
    await sandbox.stopFrozen(async () => {
      if (verdict.state === "works")
        taken = await context.admission.withHelper(() => takeDifference(sandbox, signal));
      else
        taken = { snapshot: (await freezeSandbox(context, sandbox, options)).snapshot.id, difference: null };
      return taken;
    }, reason);
  } catch (error) {
    if (sandbox.record.frozen === null) {
      await clearFrozen(sandbox.dir);
      if (taken?.difference === null) await context.store.remove(taken.snapshot);
    }
    throw error;
  }
}

async function takeDifference(sandbox: Sandbox, signal: AbortSignal): Promise<KeptMachine> {
  const dir = frozenDir(sandbox.dir);
  const draft = `${dir}.new`;
  await clearFrozen(sandbox.dir);
  await mkdir(draft, { mode: 0o711 });
  const { id, layers, build, imported = false } = await sandbox.takeDifference(draft, { signal });
  // It may be all that a restart of the host leaves.
  await publish({ draft, target: dir, manifest: null });
  return { snapshot: sandbox.record.snapshot, difference: { id, layers, build, imported } };
}
