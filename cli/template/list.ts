import { resolve } from "node:path";
import {
  loadProject,
  type Project,
  readTemplate,
  type Template,
  type Thaw,
  type ThawError,
} from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatOutdated } from "../format/packages.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { writeErr } from "../output.ts";

/** Flags of `thaw template ls`. */
export interface TemplateListFlags extends ListingFlags {
  /** The project file. */
  file?: string;
}

/** A template of the project file has the name that it has there, and `path`. */
export type ListedTemplate = Template & { path?: string };

const HEADER = ["NAME", "TAG", "RECIPE", "FROM", "BUILT", "OUTDATED", "SIZE", "STEPS", "DESCRIPTION"];

/** The table of templates, and what a prune of their kept steps would free. */
export function formatTemplates(templates: readonly ListedTemplate[], nowMs?: number): string {
  const rows = templates.map(
    ({ name, tag, path, from, shipped, builtAt, packages, storedBytes, steps, description }) => [
      ...[name, tag, shipped ? "shipped" : (path ?? ""), from],
      builtAt === null ? "no" : formatAge(builtAt, nowMs),
      formatOutdated(packages),
      storedBytes === 0 ? "" : formatSize(storedBytes),
      steps.length === 0 ? "" : `${steps.length}, ${formatSize(sum(steps.map(({ bytes }) => bytes)))}`,
      description,
    ],
  );
  // Templates may share steps.
  const freesBytes = new Map(
    templates.flatMap(({ steps }) => steps.map((step) => [step.id, step.freesBytes])),
  );
  const freed = sum([...freesBytes.values()]);
  return `${formatTable(HEADER, rows)}${freed === 0 ? "" : `thaw template prune would free ${formatSize(freed)} of kept steps\n`}`;
}

/** `thaw template ls`: the project file's templates, the shipped ones, and others that were built on this host. */
export async function list(flags: TemplateListFlags): Promise<void> {
  const templates = await withClient(async (client) => {
    const [own, known] = await Promise.all([listProject(client, flags), client.templates.list()]);
    const names = new Set(own.map(({ recipe }) => recipe));
    return [
      ...own.map(({ template }) => template),
      ...known.filter(({ name, shipped }) => shipped || !names.has(name)),
    ];
  });
  printListing(templates, flags, { nameOf: ({ name }) => name, format: (all) => formatTemplates(all) });
}

/** Templates of the project file, with the names that their recipes have. Says on stderr what can't be read. */
async function listProject(
  client: Thaw,
  { file }: TemplateListFlags,
): Promise<{ recipe: string; template: ListedTemplate }[]> {
  const tell = (what: string, error: unknown): void => {
    const { message, details = [] } = error as ThawError;
    for (const line of [`${what} is left out: ${message}`, ...details]) writeErr(`${cleanText(line)}\n`);
  };
  let project: Project | undefined;
  try {
    project = await loadProject({ file });
  } catch (error) {
    tell("the project file", error);
  }
  if (project === undefined) return [];
  const { folder, content } = project;
  const found = await Promise.all(
    Object.entries(content.templates).map(async ([name, path]) => {
      try {
        const source = await readTemplate(resolve(folder, path));
        if (!("recipe" in source)) return [];
        const template = await client.templates.describe(source);
        return [{ recipe: template.name, template: { ...template, name, path } }];
      } catch (error) {
        tell(`template ${name}`, error);
        return [];
      }
    }),
  );
  return found.flat();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
