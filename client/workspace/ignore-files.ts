import { readFileSync } from "node:fs";
import { walkFolder } from "../tree/walk.ts";
import type { Entries } from "./entries.ts";
import { addDotGit } from "./git-files.ts";

/** Rules of one `.gitignore`: paths are relative to the folder it lies in. */
interface Rules {
  folder: string;
  test(path: string): { ignored: boolean; unignored: boolean };
}

/** Adds everything in the folder, less what its `.gitignore` files name. `.git` folders are cleaned of credentials. */
export async function addUnignored(
  entries: Entries,
  options: { ignore: boolean; signal?: AbortSignal | undefined },
): Promise<void> {
  const isIgnored = options.ignore ? await readRules(entries) : () => false;
  const repositories: Buffer[] = [];
  const keep = (path: Buffer, directory: boolean): boolean => {
    const text = path.toString("utf8");
    if (/(^|\/)\.git$/.test(text)) {
      repositories.push(path);
      return false;
    }
    return !isIgnored(text, directory);
  };
  for (const entry of walkFolder(entries.locate(Buffer.alloc(0)), { keep })) entries.set(entry);
  for (const path of repositories) {
    options.signal?.throwIfAborted();
    if (path.length > 4) await addDotGit(entries, path, options.signal);
  }
}

/** The rule of the deepest folder that has an opinion wins. Folders are asked for before what is in them. */
async function readRules(entries: Entries): Promise<(path: string, directory: boolean) => boolean> {
  const { default: createIgnore } = await import("ignore");
  const read = (folder: string): Rules | undefined => {
    try {
      const text = readFileSync(entries.locate(Buffer.from(`${folder}.gitignore`)), "utf8");
      const rules = createIgnore({ allowRelativePaths: true }).add(text);
      return { folder, test: (path) => rules.test(path) };
    } catch {
      return undefined;
    }
  };
  const byFolder = new Map<string, Rules[]>();
  const find = (folder: string): Rules[] => {
    const known = byFolder.get(folder);
    if (known !== undefined) return known;
    const parent = folder.replace(/[^/]+\/$/, "");
    const above = folder === "" ? [] : find(parent);
    const own = read(folder);
    const all = own === undefined ? above : [own, ...above];
    byFolder.set(folder, all);
    return all;
  };
  return (path, directory) => {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    const name = directory ? `${path}/` : path;
    for (const rules of find(folder)) {
      const verdict = rules.test(name.slice(rules.folder.length));
      if (verdict.ignored) return true;
      if (verdict.unignored) return false;
    }
    return false;
  };
}
