import type { Token } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";

const HEADER = ["NAME", "RIGHTS", "MADE WITH", "CREATED", "USED", "EXPIRES", "ID"];

/** The table of tokens and sessions, oldest first. */
export function formatTokens(tokens: readonly Token[], nowMs?: number): string {
  const rows = tokens.map(({ name, rights, parent, createdAt, lastUsedAt, expiresAt, id }) => [
    ...[name, rights, parent ?? "–", formatAge(createdAt, nowMs)],
    ...[
      lastUsedAt === null ? "–" : formatAge(lastUsedAt, nowMs),
      expiresAt?.slice(0, 16).replace("T", " ") ?? "never",
      id,
    ],
  ]);
  return formatTable(HEADER, rows);
}

/** `thaw token ls`. */
export async function list(flags: ListingFlags): Promise<void> {
  const tokens = await withClient((client) => client.tokens.list());
  printListing(tokens, flags, { nameOf: ({ name }) => name, format: (all) => formatTokens(all) });
}
