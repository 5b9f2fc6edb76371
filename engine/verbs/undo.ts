import type { Parts } from "../parts.ts";
import { removeSandbox } from "./remove.ts";

/** Removes what a request has made, and kills the exec that it started. A snapshot that it has tagged is done, and stays. */
export async function undo(parts: Parts, request: string): Promise<void> {
  const { registry, captures, snapshots, archive } = parts;
  await Promise.all(registry.madeBy(request).map(({ id }) => removeSandbox(parts, id)));
  for (const sandbox of registry.present) await sandbox.execs.get(request)?.signal("KILL", "tree");
  const capture = await captures.store.madeFor(request);
  if (capture !== null) await archive.removeCapture(capture.id);
  const frozen = await snapshots.madeFor(request);
  if (frozen !== null) await snapshots.remove(frozen.snapshot.id, []);
}
