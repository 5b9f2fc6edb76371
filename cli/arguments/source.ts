import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ThawError } from "../../client/errors.ts";
import type { CreateRequest } from "../../client/index.ts";

/** What a sandbox is thawed from, as the flags name it. */
export interface SourceFlags {
  template?: string;
  snapshot?: string;
}

/** Whether a template is given as a path rather than by name. */
function isPath(template: string): boolean {
  return template.includes("/") || template === "." || template === ".." || /\.ya?ml$/.test(template);
}

/**
 * Reads a template that is given as a path: a file, or a folder with a `template.yaml`. A name stays a name.
 * @throws ThawError `usage` when it can't be read.
 */
export function readTemplate(template: string): { template: string } | { recipe: string } {
  if (!isPath(template)) return { template };
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
export function readSource(flags: SourceFlags): NonNullable<CreateRequest["source"]> {
  if (flags.snapshot !== undefined) return { snapshot: flags.snapshot };
  return flags.template === undefined ? {} : readTemplate(flags.template);
}
