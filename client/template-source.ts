import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TemplateFiles } from "../api/schema.ts";
import { ThawError } from "./errors.ts";
import { isTemplatePath } from "./project/template-path.ts";
import { readTemplateFiles } from "./template-files.ts";

/** A template as a request names it: by its name on the host, or as its text and the files that it places. */
export type TemplateSource = { template: string } | { recipe: string; files?: TemplateFiles };

/** A template of the project file by its name; otherwise the name is a shipped one's. */
async function findTemplate(
  name: string,
  options: { file?: string | undefined; from?: string },
): Promise<TemplateSource> {
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
): Promise<TemplateSource> {
  const git = template.includes("://") ? await readGit(template) : undefined;
  if (git !== undefined) return git;
  if (!isTemplatePath(template)) return findTemplate(template, options);
  let file: string;
  let recipe: string;
  try {
    file = statSync(template).isDirectory() ? join(template, "template.yaml") : template;
    recipe = readFileSync(file, "utf8");
  } catch (error) {
    const hint = "give a template.yaml, its folder, or a name from: thaw template ls";
    throw new ThawError("usage", `can't read the template ${template}: ${(error as Error).message}`, {
      hint,
    });
  }
  return { recipe, ...(await readTemplateFiles(recipe, file)) };
}

async function readGit(template: string): Promise<TemplateSource | undefined> {
  const { parseGitTemplate, readGitTemplate } = await import("./git-template.ts");
  const parsed = parseGitTemplate(template);
  return parsed === undefined ? undefined : readGitTemplate(parsed);
}
