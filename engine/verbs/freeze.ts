import { paced } from "../../host/pace.ts";
import { needCapabilities } from "../capabilities.ts";
import { interruptible } from "../interruptible.ts";
import type { Parts } from "../parts.ts";
import { type FrozenSandbox, freezeSandbox } from "../sandboxes/freeze.ts";
import { freezeAndStop } from "../sandboxes/freeze-and-stop.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { ResolveOptions } from "../sources.ts";
import { dropOwnSnapshot } from "./remove.ts";

/** A full freeze of a machine of many gigabytes on a slow disk. */
const FREEZE_DEADLINE_MS = 600_000;

/** A snapshot of a sandbox as it is answered. */
export type Freeze = Pick<FrozenSandbox, "snapshot" | "pauseMs" | "converged">;

/** Makes a snapshot of a sandbox, which goes on, and names it. Asked again by the same request, the answer is the snapshot that there is. */
export async function freeze(
  { config, runner, registry, room, archive, snapshots, audit }: Parts,
  reference: string,
  { tag, ...options }: ResolveOptions & { tag: string; request?: string | undefined },
): Promise<Freeze> {
  needCapabilities(runner, "freeze", { liveFreeze: true });
  config.required();
  const sandbox = registry.find(reference);
  return interruptible(options.signal, async () => {
    const made = options.request === undefined ? null : await snapshots.madeFor(options.request);
    if (made !== null) {
      // The daemon may have been killed before it was tagged.
      await snapshots.tag(made.snapshot.id, tag);
      const { pauseMs, converged } = made.asked;
      return { snapshot: made.snapshot, pauseMs, converged };
    }
    await room.needDisk();
    const frozen = await sandbox.during(() => freezeSandbox(archive.live, sandbox, options));
    if (options.signal.aborted) {
      await snapshots.remove(frozen.snapshot.id);
      options.signal.throwIfAborted();
    }
    try {
      await snapshots.tag(frozen.snapshot.id, tag);
    } catch (error) {
      // Nobody knows it by another name.
      await snapshots.remove(frozen.snapshot.id);
      throw error;
    }
    audit.note("freeze", sandbox.record.name, { snapshot: frozen.snapshot.id, tag });
    return frozen;
  });
}

/** Keeps a paused sandbox on disk and ends its machine, until a request wakes it. @param reason that its record gives */
export async function freezeToDisk(parts: Parts, sandbox: Sandbox, reason: string): Promise<void> {
  await parts.room.needDisk();
  const { ownSnapshot: before } = sandbox.record;
  const signal = AbortSignal.timeout(paced(FREEZE_DEADLINE_MS));
  await freezeAndStop(parts.archive.live, sandbox, { signal, reason });
  if (before !== sandbox.record.ownSnapshot) await dropOwnSnapshot(parts, before);
}
