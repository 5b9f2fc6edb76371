/** What the cgroup of all machines of a runner uses of the host's memory. */
import { readFileSync } from "node:fs";
import type { RunnerMemory } from "../runner.ts";

const CGROUPS = "/sys/fs/cgroup";
const MIB = 1024 ** 2;

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
