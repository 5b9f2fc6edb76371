/** Which files are workflows. */
import { existsSync, lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { findRepository, ThawError } from "../../../client/index.ts";

/** A file to read. `isNamed`: by the caller, who may name links. */
export interface WorkflowFile {
  path: string;
  /** From the repository's root, with `/`. */
  inRepository: string;
  isNamed: boolean;
}

const MAX_FILES = 1000;
const MAX_DEPTH = 6;
const YAML = /\.ya?ml$/i;
const ACTION = /^action\.ya?ml$/i;

function list(folder: string, isWanted: (name: string) => boolean, depth: number): string[] {
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return depth > 0 && entry.name !== "node_modules" ? list(path, isWanted, depth - 1) : [];
    return isWanted(entry.name) ? [path] : [];
  });
}

/** A checkout's workflows and composite actions. */
function ofCheckout(root: string): string[] {
  const github = join(root, ".github");
  return [
    ...list(join(github, "workflows"), (name) => YAML.test(name), 0),
    ...list(join(github, "actions"), (name) => ACTION.test(name), MAX_DEPTH),
    ...list(root, (name) => ACTION.test(name), 0),
  ];
}

function inFolder(folder: string): string[] {
  return existsSync(join(folder, ".github"))
    ? ofCheckout(folder)
    : list(folder, (name) => YAML.test(name), 0);
}

/**
 * The workflows of the given files and folders; of none, those of the checkout around the current folder.
 * @throws ThawError `usage` when there are none.
 */
export function findFiles(paths: readonly string[]): WorkflowFile[] {
  const roots = paths.length === 0 ? [findRepository(realpathSync("."))] : paths.map((path) => resolve(path));
  const found = roots.flatMap((path): WorkflowFile[] => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined)
      throw new ThawError("usage", `there is no ${path}`, { hint: "thaw ci check --help" });
    const files = stats.isDirectory() ? (paths.length === 0 ? ofCheckout(path) : inFolder(path)) : [path];
    const repository = findRepository(stats.isDirectory() ? path : dirname(path));
    return files.map((file) => ({
      path: file,
      inRepository: relative(repository, file).split(sep).join("/"),
      isNamed: !stats.isDirectory(),
    }));
  });
  const once = [...new Map(found.map((file) => [file.path, file])).values()];
  if (once.length === 0)
    throw new ThawError(
      "usage",
      `there are no workflows in ${roots.map((root) => basename(root) || root).join(", ")}`,
      {
        hint: "thaw ci init writes one; thaw ci check PATH checks other files",
      },
    );
  if (once.length > MAX_FILES)
    throw new ThawError("usage", `there are ${once.length} workflows; the limit is ${MAX_FILES}`, {
      hint: "check some of them: thaw ci check PATH…",
    });
  return once;
}
