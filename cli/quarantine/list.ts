import type { QuarantineEntry } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";

/** `thaw quarantine ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const entries = await withClient((client) => client.quarantine.list());
  printListing(entries, flags, { nameOf: ({ id }) => id, format: formatQuarantine });
}

function formatQuarantine(entries: readonly QuarantineEntry[]): string {
  const rows = entries.map(({ id, from, reason, at, moved }) => [
    ...[id, `${from}${moved ? "" : " (still there)"}`, cleanText(reason), formatAge(at)],
  ]);
  return formatTable(["ID", "FROM", "REASON", "SINCE"], rows);
}
