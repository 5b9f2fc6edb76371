import type { Resources } from "../../runners/runner.ts";
import type { Need } from "../admission.ts";
import type { Parts } from "../parts.ts";

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
