import { realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { CheckPath } from "./schema.ts";

/** Whether a path is `root` or in it, by its words alone. */
export function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}

/** Where a path really leads; of one that is not there, where the nearest folder above it does. */
function follow(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path === dirname(path) ? path : follow(dirname(path));
  }
}

/** A template's file: the path itself, or the `template.yaml` in a folder. */
export function templateFile(path: string): string {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
    ? join(path, "template.yaml")
    : path;
}

/**
 * Judges a project file's paths: relative to its folder, inside the repository also when links are followed, templates present. A
 * workspace may be missing: an earlier step may make it.
 */
export function pathChecker(folder: string, repository: string): CheckPath {
  const outside = `a path inside the repository ${repository}`;
  return (path, kind) => {
    if (isAbsolute(path)) return "a relative path";
    const target = resolve(folder, path);
    if (!isInside(repository, target)) return outside;
    const file = kind === "source" ? templateFile(target) : target;
    if (!isInside(repository, follow(file))) return outside;
    if (kind === "source" && statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
      return "a template.yaml or a folder with one";
    return undefined;
  };
}
