/** What all machines of this runner take of the host's memory: the figures of the cgroup that has them, and copies of snapshots' memory. */
import { groupUse } from "../host/group-memory.ts";
import type { RunnerMemory } from "../runner.ts";
import type { Context } from "./context.ts";
import { mapsReadOnly } from "./host-facts.ts";
import { MOST_OVERHEAD_MIB } from "./limits.ts";
import { watchStalls } from "./stalls.ts";

const MIB = 1024 ** 2;
/** What `thaw-pages` keeps at most, and its lists. */
const HELPER_MIB = 64;

export function runnerMemory(context: Context): RunnerMemory {
  const { hotMemory, tools } = context;
  return {
    overheadMib: MOST_OVERHEAD_MIB,
    helperMib: HELPER_MIB,
    use: () => groupUse(tools.cgroup),
    async needsCopy(id) {
      return !hotMemory.has(id) && !mapsReadOnly(await context.facts());
    },
    watchStalls: (onStall) => watchStalls(context.pressurePath, onStall),
    dropCopies: () => Math.floor(hotMemory.dropUnused() / MIB),
  };
}
