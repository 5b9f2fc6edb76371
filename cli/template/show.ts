import { suggestNearest } from "../../api/nearest.ts";
import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw template show`. @throws ThawError `not-found` with the nearest names. */
export async function show(name: string, flags: { json?: boolean }): Promise<void> {
  const templates = await withClient((client) => client.templates.list());
  const template = templates.find((candidate) => candidate.name === name || candidate.tag === name);
  if (template === undefined) {
    const names = templates.map((candidate) => candidate.name);
    throw new ThawError("not-found", `no template ${name}`, {
      hint: suggestNearest(name, names, "thaw template ls"),
    });
  }
  if (flags.json === true) {
    printJson(template);
    return;
  }
  const { resources } = template;
  const pairs: [string, string][] = [
    ["name", template.name],
    ["description", template.description],
    ["tag", template.tag],
    ["from", template.from],
    ["cpus", String(resources.cpus)],
    ["memory", formatSize(resources.memoryMib * 2 ** 20)],
    ["disk", formatSize(resources.diskMib * 2 ** 20)],
    ["snapshot", template.snapshot ?? `not built: thaw template build ${template.name}`],
  ];
  writeOut(formatPairs(pairs));
}
