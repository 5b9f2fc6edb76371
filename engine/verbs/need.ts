import type { Resources } from "../../runners/runner.ts";
import type { Need } from "../admission.ts";
import type { Parts } from "../parts.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";

/** What a thaw asks of admission. @param image id of the snapshot or difference that it is thawed from */
export async function needOf(
  { runner }: Pick<Parts, "runner">,
  { id, name }: { id: string; name: string },
  { cpus, memoryMib }: Resources,
  image: string,
): Promise<Need> {
  const copyMib = (await runner.memory.needsCopy(image)) ? memoryMib : 0;
  return { id, name, cpus, memoryMib, copyMib };
}

/** The size of a machine of it, where none or another one is asked for. */
export function sizeOf(
  { manifest: { resources } }: Pick<StoredSnapshot, "manifest">,
  {
    cpus = resources.cpus,
    memoryMib = resources.memoryMib,
  }: { cpus?: number | undefined; memoryMib?: number | undefined },
): Pick<Resources, "cpus" | "memoryMib"> {
  return { cpus, memoryMib };
}
