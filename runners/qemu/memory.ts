/** What all machines of this runner take of the host's memory: the figures of the cgroup that has them, and copies of snapshots' memory. */
import { readFileSync } from "node:fs";
import type { RunnerMemory } from "../runner.ts";
import type { Context } from "./context.ts";
import { mapsReadOnly } from "./host-facts.ts";
import { MOST_OVERHEAD_MIB } from "./limits.ts";
import { watchStalls } from "./stalls.ts";

const CGROUPS = "/sys/fs/cgroup";
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

/** Of version 2, or of version 1 where only that is there. No group, no figures: it is made with the first machine. */
function groupUse(group: string): ReturnType<RunnerMemory["use"]> {
  const v2 = read(`${CGROUPS}/${group}/memory.stat`);
  const stat = v2 ?? read(`${CGROUPS}/memory/${group}/memory.stat`);
  if (stat === null) return { machinesMib: null, limitMib: null };
  // Pages of files are the host's cache: it can take them back.
  const owned = new RegExp(`^${v2 === null ? "total_rss" : "anon"} (\\d+)$`, "m").exec(stat)?.[1];
  const limit = Number(
    v2 === null
      ? read(`${CGROUPS}/memory/${group}/memory.limit_in_bytes`)
      : read(`${CGROUPS}/${group}/memory.max`),
  );
  return {
    machinesMib: owned === undefined ? null : Math.ceil(Number(owned) / MIB),
    // `max`, or more than any host has.
    limitMib: limit > 0 && limit < 2 ** 60 ? Math.floor(limit / MIB) : null,
  };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
