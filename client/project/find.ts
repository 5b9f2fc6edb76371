import { existsSync, lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ThawError } from "../errors.ts";
import { isInside } from "./paths.ts";

export const PROJECT_FILE_NAME = "thaw.yaml";

/** The folder itself and those above it, up to the repository's (the one with `.git`), else up to `/`. */
function* foldersUp(folder: string): Generator<string> {
  for (let at = folder; ; at = dirname(at)) {
    yield at;
    if (existsSync(join(at, ".git")) || at === dirname(at)) return;
  }
}

/** The repository that a folder lies in; the folder itself when it lies in none. */
export function findRepository(folder: string): string {
  const root = foldersUp(folder).toArray().at(-1) ?? folder;
  return existsSync(join(root, ".git")) ? root : folder;
}

/** A link out of the repository would show what it leads to in messages. */
function checkLink(file: string): void {
  const real = realpathSync(file);
  const repository = findRepository(dirname(file));
  if (isInside(repository, real)) return;
  throw new ThawError("usage", `${file} is a link to ${real}, outside ${repository}`, {
    hint: `if you trust it: --file ${real}`,
  });
}

/** A file from above is somebody else's, as in a shared /tmp, unless it is ours, root's, or the folder's owner's. */
function checkOwner(file: string, stats: Stats, folder: string): void {
  const trusted = [process.getuid?.(), 0, lstatSync(folder).uid];
  if (trusted.includes(stats.uid)) return;
  throw new ThawError(
    "usage",
    `${file} belongs to the user ${stats.uid}, who owns neither this folder nor this process`,
    {
      hint: `if you trust it: --file ${file}`,
    },
  );
}

/** The nearest `thaw.yaml`, in `from` or above it within the repository; undefined when there is none. @throws ThawError `usage` */
export function findProjectFile(from: string): string | undefined {
  const folder = realpathSync(resolve(from));
  for (const at of foldersUp(folder)) {
    const file = join(at, PROJECT_FILE_NAME);
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    checkLink(file);
    if (at !== folder) checkOwner(file, stats, folder);
    return file;
  }
  return undefined;
}
