import { lstatSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { quote } from "./fields.ts";

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * A path of the checkout. The author of a pull request puts links there, and none may lead out of it; an absolute path is the workflow's
 * own word.
 * @throws RangeError
 */
export function resolveInside(folder: string, path: string): string {
  const full = resolve(folder, path);
  if (isAbsolute(path)) return full;
  // Of something that is not there yet, the nearest folder above it counts.
  let there = full;
  while (!isThere(there) && there !== dirname(there)) there = dirname(there);
  const way = relative(realpathSync(folder), tryRealPath(there) ?? "/");
  if (way === ".." || way.startsWith("../") || isAbsolute(way))
    throw new RangeError(`${quote(path)} is outside the checkout`);
  return full;
}

/** Undefined for a link that leads nowhere. */
function tryRealPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** A path in the guest: relative ones are beneath `base`. */
export function guestPath(base: string, path: string): string {
  return isAbsolute(path) ? join("/", path) : join(base, path);
}

/**
 * Why no guest may bring it into the checkout: git obeys a repository's own files, and steps on the runner, such as the checkout's own
 * post step, run git there.
 */
export function refuseArtifact(parts: readonly string[]): string | undefined {
  return parts.some((part) => part.toLowerCase() === ".git")
    ? "files of .git are not copied to the runner"
    : undefined;
}
