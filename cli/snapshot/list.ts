import type { Snapshot } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatOutdated } from "../format/packages.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";

const HEADER = ["TAG", "ID", "CREATED", "CPUS", "MEMORY", "SIZE", "SANDBOXES", "OUTDATED", "THAWS HERE"];

/** The table of snapshots; one with several tags shows them all. */
export function formatSnapshots(snapshots: readonly Snapshot[], nowMs?: number): string {
  const rows = snapshots.map((snapshot) => [
    snapshot.tags.join(", "),
    snapshot.id,
    formatAge(snapshot.createdAt, nowMs),
    String(snapshot.resources.cpus),
    formatSize(snapshot.resources.memoryMib * 2 ** 20),
    formatSize(snapshot.storedBytes),
    String(snapshot.usedBy.length),
    formatOutdated(snapshot.packages),
    snapshot.incompatible.length === 0 ? "yes" : `no: ${snapshot.incompatible[0]}`,
  ]);
  return formatTable(HEADER, rows);
}

/** `thaw snapshot ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const snapshots = await withClient((client) => client.snapshots.list());
  printListing(snapshots, flags, { nameOf: ({ id }) => id, format: (all) => formatSnapshots(all) });
}
