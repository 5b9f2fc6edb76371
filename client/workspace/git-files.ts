import { lstatSync, readFileSync } from "node:fs";
import { runGit } from "../git.ts";
import { joinPath } from "../tree/walk.ts";
import type { Entries } from "./entries.ts";
import { addGitFolder } from "./git-folder.ts";

const dotGit = Buffer.from(".git");
const slash = 0x2f;
const tab = 0x09;

/** Splits what git prints with `-z`. */
export function splitNul(output: Buffer): Buffer[] {
  const items: Buffer[] = [];
  for (let from = 0; from < output.length; ) {
    const to = output.indexOf(0, from);
    const end = to < 0 ? output.length : to;
    if (end > from) items.push(output.subarray(from, end));
    from = end + 1;
  }
  return items;
}

/**
 * Adds what git sees in the repository at `path` of the folder: tracked files, and untracked ones that are not ignored; in submodules and
 * nested repositories likewise, with their `.git`.
 * @returns why git refused; undefined when it did not.
 */
export async function addGitFiles(
  entries: Entries,
  path: Buffer,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const folder = entries.locate(path).toString("utf8");
  const [tracked, others] = await Promise.all([
    runGit(folder, ["ls-files", "--stage", "-z"], signal),
    runGit(folder, ["ls-files", "--others", "--exclude-standard", "-z"], signal),
  ]);
  signal?.throwIfAborted();
  if ("failed" in tracked) return tracked.failed;
  if ("failed" in others) return others.failed;
  const nested: Buffer[] = [];
  for (const line of splitNul(tracked.output)) {
    const name = joinPath(path, line.subarray(line.indexOf(tab) + 1));
    entries.addPath(name);
    if (line.toString("latin1", 0, 6) === "160000") nested.push(name);
  }
  for (const name of splitNul(others.output)) {
    const isFolder = name.at(-1) === slash;
    const full = joinPath(path, isFolder ? name.subarray(0, -1) : name);
    entries.addPath(full);
    if (isFolder) nested.push(full);
  }
  for (const inner of nested) await addNested(entries, inner, signal);
  return undefined;
}

/** A submodule, or a repository that lies in another one. Without a `.git` it is not checked out, and an empty folder. */
async function addNested(entries: Entries, path: Buffer, signal?: AbortSignal): Promise<void> {
  const git = joinPath(path, dotGit);
  const stats = lstatSync(entries.locate(git), { throwIfNoEntry: false });
  if (stats === undefined) return;
  const refused = await addGitFiles(entries, path, signal);
  if (refused !== undefined) return;
  await addDotGit(entries, git, signal);
}

/** Adds a `.git` below the top: a folder, or a file that names one by a relative path. */
export async function addDotGit(entries: Entries, path: Buffer, signal?: AbortSignal): Promise<void> {
  const source = entries.locate(path);
  const stats = lstatSync(source, { throwIfNoEntry: false });
  if (stats?.isDirectory() === true) await addGitFolder(entries, { source, path, moved: false, signal });
  else if (stats?.isFile() === true && !/^gitdir:\s*\//.test(readFileSync(source, "utf8")))
    entries.addPath(path);
}
