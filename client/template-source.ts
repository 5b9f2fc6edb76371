import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ThawError } from "./errors.ts";
import { isTemplatePath } from "./project/template-path.ts";

/** A template of the project file by its name; otherwise the name is a shipped one's. */
async function findTemplate(
  name: string,
  options: { file?: string | undefined; from?: string },
): Promise<{ template: string } | { recipe: string }> {
  const { loadProject } = await import("./project/load.ts");
  const project = await loadProject(options);
  if (project === undefined) return { template: name };
  const { findProjectTemplate } = await import("./project/plan.ts");
  return (await findProjectTemplate(project, name)) ?? { template: name };
}

/**
 * A template by its name in the project file, or a shipped one's; or read from a path: a file, or a folder with a `template.yaml`.
 * @param options file: the project file; default: the nearest one at or above `from`, the current folder
 * @throws ThawError `usage` when it can't be read.
 */
export async function readTemplate(
  template: string,
  options: { file?: string | undefined; from?: string } = {},
): Promise<{ template: string } | { recipe: string }> {
  if (!isTemplatePath(template)) return findTemplate(template, options);
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
