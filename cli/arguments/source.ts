import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CreateRequest, isTemplatePath, ThawError } from "../../client/index.ts";

/** What a sandbox is thawed from, as the flags name it. */
export interface SourceFlags {
  template?: string;
  snapshot?: string;
  /** The project file, where names of templates are looked up first. Default: the nearest one. */
  file?: string;
}

/** A template of the project file by its name; otherwise the name is a shipped one's. */
async function findTemplate(
  name: string,
  file: string | undefined,
): Promise<{ template: string } | { recipe: string }> {
  const { loadProject } = await import("../../client/index.ts");
  const project = await loadProject({ file });
  if (project === undefined) return { template: name };
  const { findProjectTemplate } = await import("../../client/index.ts");
  return (await findProjectTemplate(project, name)) ?? { template: name };
}

/**
 * A template by its name in the project file, or a shipped one's; or read from a path: a file, or a folder with a `template.yaml`.
 * @throws ThawError `usage` when it can't be read.
 */
export async function readTemplate(
  template: string,
  options: { file?: string | undefined } = {},
): Promise<{ template: string } | { recipe: string }> {
  if (!isTemplatePath(template)) return findTemplate(template, options.file);
  try {
    const isFolder = statSync(template).isDirectory();
    return { recipe: readFileSync(isFolder ? join(template, "template.yaml") : template, "utf8") };
  } catch (error) {
    const hint = "give a template.yaml, its folder, or a name from: thaw template ls";
    throw new ThawError("usage", `can't read the template ${template}: ${(error as Error).message}`, {
      hint,
    });
  }
}

/** The request's source for the flags; the daemon's default when neither is given. */
export async function readSource(flags: SourceFlags): Promise<NonNullable<CreateRequest["source"]>> {
  if (flags.snapshot !== undefined) return { snapshot: flags.snapshot };
  return flags.template === undefined ? {} : readTemplate(flags.template, flags);
}
