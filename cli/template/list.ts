import type { Template } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";

/** The table of templates. */
export function formatTemplates(templates: readonly Template[]): string {
  const rows = templates.map(({ name, tag, from, resources, snapshot, description }) => [
    name,
    tag,
    from,
    String(resources.cpus),
    formatSize(resources.memoryMib * 2 ** 20),
    snapshot === null ? "no" : "yes",
    description,
  ]);
  return formatTable(["NAME", "TAG", "FROM", "CPUS", "MEMORY", "BUILT", "DESCRIPTION"], rows);
}

/** `thaw template ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const templates = await withClient((client) => client.templates.list());
  printListing(templates, flags, { nameOf: ({ name }) => name, format: formatTemplates });
}
