import type { SnapshotFiles } from "../../runners/runner.ts";
import { asEngineError } from "../as-engine-error.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { needOf } from "./need.ts";

/** A frozen sandbox needs room for a machine, as a new one does. */
export async function wake(
  parts: Parts,
  sandbox: Sandbox,
  thaw: (files: SnapshotFiles) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { room, admission, snapshots, thaws, audit } = parts;
  const { id, record } = sandbox;
  const { name, resources, snapshot } = record;
  try {
    await room.needDisk();
    const image = record.frozen?.difference?.id ?? snapshot;
    await admission.admit(await needOf(parts, { id, name }, resources, image), {
      waitMs: 0,
      onProgress: () => {},
      signal,
    });
    const files = await snapshots.checkForThaw(await snapshots.get(snapshot));
    await thaws.run(() => thaw(files));
    admission.started(id);
    audit.note("wake", name, { id });
  } catch (error) {
    if (sandbox.takesMachine) admission.started(id);
    else admission.ended(id);
    throw asEngineError(error);
  }
}
