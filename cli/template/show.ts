import { suggestNearest } from "../../api/nearest.ts";
import { readTemplate, type Template, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { describePackages } from "../format/packages.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs, formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** Flags of `thaw template show`. */
export interface ShowFlags {
  /** The project file. */
  file?: string;
  recipe?: boolean;
  json?: boolean;
}

/** What is shown of a template. */
export function formatTemplate(template: Template, wanted: string, nowMs?: number): string {
  const { resources, shipped, snapshot, builtAt, storedBytes, steps } = template;
  const pairs: [string, string][] = [
    ["name", template.name],
    ["description", template.description],
    ["tag", template.tag],
    ["from", template.from],
    ["recipe", shipped ? "shipped" : wanted === template.name ? "not on this host" : wanted],
    ["cpus", String(resources.cpus)],
    ["memory", formatSize(resources.memoryMib * 2 ** 20)],
    ["disk", formatSize(resources.diskMib * 2 ** 20)],
    ["snapshot", snapshot ?? `not built: thaw template build ${wanted}`],
    ["built", builtAt === null ? "" : `${formatAge(builtAt, nowMs)} (${builtAt})`],
    ["packages", snapshot === null ? "" : describePackages(template.packages, nowMs)],
    ["stored", storedBytes === 0 ? "" : formatSize(storedBytes)],
  ];
  if (steps.length === 0) return formatPairs(pairs);
  const rows = steps.map(({ name, id, bytes, usedAt, prunable }) => [
    ...[name, id, formatSize(bytes), formatAge(usedAt, nowMs), prunable ?? "no"],
  ]);
  return `${formatPairs(pairs)}\n${formatTable(["STEP", "ID", "SIZE", "USED", "GOES BY PRUNE"], rows)}`;
}

/** `thaw template show`. @throws ThawError `not-found` with the nearest names. */
export async function show(wanted: string, flags: ShowFlags): Promise<void> {
  const source = await readTemplate(wanted, { file: flags.file });
  if (flags.recipe === true) {
    const text =
      "recipe" in source ? source.recipe : await withClient((client) => client.templates.recipe(wanted));
    return writeOut(text.endsWith("\n") ? text : `${text}\n`);
  }
  const template = await withClient((client) =>
    "recipe" in source ? client.templates.describe(source) : findTemplate(client, wanted),
  );
  if (flags.json === true) printJson(template);
  else writeOut(formatTemplate(template, wanted));
}

async function findTemplate(client: Thaw, name: string): Promise<Template> {
  const templates = await client.templates.list();
  const found = templates.find((one) => one.name === name) ?? templates.find(({ tag }) => tag === name);
  if (found !== undefined) return found;
  const names = templates.map((one) => one.name);
  throw new ThawError("not-found", `no template ${name}`, {
    hint: suggestNearest(name, names, "thaw template ls"),
  });
}
