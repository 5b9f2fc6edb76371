/** A sandbox of a snapshot: claimed from its pool where there is a spare, else thawed now. */
import { randomId } from "../ids.ts";
import type { Parts } from "../parts.ts";
import type { OnProgress } from "../progress.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { part } from "../tracing.ts";
import { needOf } from "./need.ts";
import { type NewSandbox, thawSandbox } from "./thaw.ts";

export interface Wanted extends Omit<NewSandbox, "id" | "name" | "spare"> {
  /** Claimed already; absent: its id. */
  name?: string | undefined;
  /** How long to wait in line for room; 0: refuse at once. */
  waitMs: number;
  onProgress: OnProgress;
}

/** On failure nothing is left; a claimed name is free. */
export async function obtain(parts: Parts, wanted: Wanted): Promise<Sandbox> {
  const { registry, pools, admission } = parts;
  const { snapshot, origin, cache, from } = wanted;
  // A machine's disks are those that it was made with. The limits may be lower than when it was made.
  const mayBeSpare =
    origin === undefined && cache === undefined && admission.mayBe(snapshot.manifest.resources);
  const spare = mayBeSpare ? pools.claim(snapshot, from) : null;
  if (spare === null) return thawNow(parts, wanted);
  try {
    return await thawSandbox(parts, { ...wanted, id: spare.id, name: wanted.name ?? spare.id, spare });
  } catch (error) {
    if (wanted.signal.aborted || wasRemoved(error)) throw error;
    // Its machine was broken: another one is as good.
    if (wanted.name !== undefined) registry.claim(wanted.name);
    return thawNow(parts, wanted);
  }
}

async function thawNow(parts: Parts, wanted: Wanted): Promise<Sandbox> {
  const { registry, admission, thaws } = parts;
  const { snapshot, origin, waitMs, onProgress, signal } = wanted;
  const id = randomId();
  const name = wanted.name ?? id;
  try {
    const image = origin?.difference?.id ?? snapshot.id;
    const need = await needOf(parts, { id, name }, snapshot.manifest.resources, image);
    await part("admit", () => admission.admit(need, { waitMs, onProgress, signal }));
    return await thaws.run(() => thawSandbox(parts, { ...wanted, id, name }));
  } catch (error) {
    registry.release(name);
    admission.free(id);
    throw error;
  }
}

function wasRemoved(error: unknown): boolean {
  return (error as { code?: unknown }).code === "cancelled";
}
