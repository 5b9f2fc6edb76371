import type { Cache } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";

const HEADER = ["ID", "REPOSITORY", "SCOPE", "KEY", "SIZE", "CREATED", "USED"];

/** The table of caches; those that were used last come first. */
export function formatCaches(caches: readonly Cache[], nowMs?: number): string {
  const rows = [...caches]
    .sort((a, b) => b.usedAt.localeCompare(a.usedAt))
    .map(({ id, repository, scope, key, storedBytes, createdAt, usedAt }) => [
      ...[id, repository, scope, key, formatSize(storedBytes)],
      ...[formatAge(createdAt, nowMs), formatAge(usedAt, nowMs)],
    ]);
  return formatTable(HEADER, rows);
}

/** `thaw cache ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const caches = await withClient((client) => client.caches.list());
  printListing(caches, flags, { nameOf: ({ id }) => id, format: (all) => formatCaches(all) });
}
