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

/** Where the figures are, by version of cgroups. */
const VERSIONS = [
  { root: CGROUPS, used: "memory.current", limit: "memory.max", prefix: "", owned: "anon" },
  {
    ...{ root: `${CGROUPS}/memory`, used: "memory.usage_in_bytes", limit: "memory.limit_in_bytes" },
    ...{ prefix: "total_", owned: "rss" },
  },
];

/** No group, no figures: it is made with the first machine. */
export function groupUse(group: string): ReturnType<RunnerMemory["use"]> {
  for (const { root, used, limit, prefix, owned } of VERSIONS) {
    const stat = read(`${root}/${group}/memory.stat`);
    if (stat === null) continue;
    const field = (name: string): number =>
      Number(new RegExp(`^${prefix}${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
    const max = Number(read(`${root}/${group}/${limit}`));
    // Pages of files are a cache, that the kernel takes back first. Those of memfds are not.
    const kept = Number(read(`${root}/${group}/${used}`)) - field("active_file") - field("inactive_file");
    return {
      machinesMib: Math.ceil(field(owned) / MIB),
      // `max`, or more than any host has.
      leftMib: max > 0 && max < 2 ** 60 ? Math.floor((max - kept) / MIB) : null,
    };
  }
  return { machinesMib: null, leftMib: null };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
