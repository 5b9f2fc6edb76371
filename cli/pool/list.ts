import type { Pool } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";
import { writeErr } from "../output.ts";

const HEADER = ["NAME", "READY", "HITS", "MISSES", "OLDEST", "CPUS", "MEMORY", "SNAPSHOT"];

/** The table of pools, in the order of the configuration. */
export function formatPools(pools: readonly Pool[], nowMs?: number): string {
  const rows = pools.map(({ name, size, ready, hits, misses, oldestAt, cpus, memoryMib, snapshot }) => [
    ...[name, `${ready}/${size}`, `${hits}`, `${misses}`],
    oldestAt === null ? "–" : formatAge(oldestAt, nowMs),
    ...[cpus?.toString() ?? "–", memoryMib === undefined ? "–" : `${memoryMib} MiB`, snapshot ?? "–"],
  ]);
  return formatTable(HEADER, rows);
}

/** `thaw pool ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const { pools } = await withClient((client) => client.pools.list());
  printListing(pools, flags, { nameOf: ({ name }) => name, format: (all) => formatPools(all) });
  if (flags.json === true || flags.quiet === true) return;
  for (const { name, problem } of pools)
    if (problem !== null) writeErr(`thaw: pool ${cleanText(name)}: ${cleanText(problem)}\n`);
}
