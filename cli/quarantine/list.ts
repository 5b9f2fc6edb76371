import type { QuarantineEntry } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw quarantine ls`. */
export async function list(flags: { json?: boolean }): Promise<void> {
  const entries = await withClient((client) => client.quarantine.list());
  if (flags.json === true) printJson(entries);
  else writeOut(formatQuarantine(entries));
}

function formatQuarantine(entries: readonly QuarantineEntry[]): string {
  const rows = entries.map(({ id, from, reason, at, moved }) => [
    ...[id, `${from}${moved ? "" : " (still there)"}`, cleanText(reason), formatAge(at)],
  ]);
  return formatTable(["ID", "FROM", "REASON", "SINCE"], rows);
}
