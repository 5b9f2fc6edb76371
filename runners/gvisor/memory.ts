/** What all machines of this runner take of the host's memory. */

import { groupUse } from "../host/group-memory.ts";
import type { RunnerMemory } from "../runner.ts";
import type { Context } from "./context.ts";
import { OVERHEAD_MIB } from "./start.ts";

/** `runsc checkpoint` and `runsc restore`. */
const HELPER_MIB = 64;

export function runnerMemory({ tools }: Context): RunnerMemory {
  return {
    ...{ overheadMib: OVERHEAD_MIB, helperMib: HELPER_MIB },
    use: () => groupUse(tools.cgroup),
    // Each machine reads its memory for itself.
    needsCopy: async () => false,
    // The host's stalls are told by the runner that all machines have.
    watchStalls: () => () => {},
    dropCopies: () => 0,
  };
}
