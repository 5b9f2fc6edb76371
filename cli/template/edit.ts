import { spawn } from "node:child_process";
import { constants, copyFileSync, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { suggestNearest } from "../../api/nearest.ts";
import { isTemplatePath, loadProject, ThawError } from "../../client/index.ts";
import { findBuildFolder } from "../../client/version.ts";
import { quoteWord } from "../format/ending.ts";
import { writeErr } from "../output.ts";

/**
 * `thaw template edit`: opens a recipe in the user's editor. One that thaw ships is copied into the current folder first.
 * @param file where to; default `./NAME.yaml`. One that is there is opened as it is.
 * @returns the editor's exit code
 */
export async function edit(template: string, file: string | undefined): Promise<number> {
  const path = isTemplatePath(template) ? pathOfRecipe(template) : await ownCopy(template, file);
  const code = await openEditor(path);
  if (code === 0) writeErr(`build it: thaw template build ${quoteWord(path)}\n`);
  return code;
}

function pathOfRecipe(path: string): string {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
    ? join(path, "template.yaml")
    : path;
}

async function ownCopy(name: string, asked = `./${name}.yaml`): Promise<string> {
  const project = await loadProject();
  const own = project?.content.templates;
  if (project !== undefined && own !== undefined && Object.hasOwn(own, name))
    return pathOfRecipe(join(project.folder, own[name] ?? ""));
  const shipped = join(findBuildFolder()?.folder ?? "", "templates");
  const names = readdirSync(shipped);
  if (!names.includes(name))
    throw new ThawError("not-found", `no template ${name}`, {
      hint: suggestNearest(name, names, "thaw template ls"),
    });
  const file = isTemplatePath(asked) ? asked : `./${asked}`;
  if (existsSync(file)) return file;
  copyFileSync(join(shipped, name, "template.yaml"), file, constants.COPYFILE_EXCL);
  writeErr(`${file}: a copy of the template ${name}\n`);
  return file;
}

/** Runs $VISUAL or $EDITOR, which may have flags, as git does. */
function openEditor(path: string): Promise<number> {
  const editor = process.env.VISUAL || process.env.EDITOR || "vi";
  const child = spawn("sh", ["-c", `${editor} "$@"`, editor, path], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
