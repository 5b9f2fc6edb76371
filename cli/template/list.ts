import type { Template } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

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
export async function list(flags: { json?: boolean }): Promise<void> {
  const templates = await withClient((client) => client.templates.list());
  if (flags.json === true) printJson(templates);
  else writeOut(formatTemplates(templates));
}
