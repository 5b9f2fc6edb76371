import type { PackEntry } from "../tree/pack.ts";
import { IgnoreRules } from "./ignore-rules.ts";

/**
 * What of a workspace rules as in a .gitignore leave: unlike those of git, they go for what is tracked too. `.git` stays.
 * @throws ThawError `usage` when there are too many rules
 */
export function excludeEntries(entries: readonly PackEntry[], text: string): PackEntry[] {
  const rules = IgnoreRules.parse(Buffer.from(text), { base: "", fold: false, shown: "exclude" });
  const folders = new Map<string, boolean>();
  /** Whether a folder, or one above it, is named. */
  const isOut = (folder: string): boolean => {
    const known = folders.get(folder);
    if (known !== undefined) return known;
    const slash = folder.lastIndexOf("/");
    const out = (slash > 0 && isOut(folder.slice(0, slash))) || rules.test(folder, true) === true;
    folders.set(folder, out);
    return out;
  };
  const paths = entries.map(({ path }) => path.toString("latin1"));
  for (const path of paths) {
    const slash = path.lastIndexOf("/");
    if (slash > 0) isOut(path.slice(0, slash));
  }
  return entries.filter((_entry, index) => {
    const path = paths[index] ?? "";
    if (path === ".git" || path.startsWith(".git/")) return true;
    const slash = path.lastIndexOf("/");
    if (slash > 0 && isOut(path.slice(0, slash))) return false;
    return rules.test(path, folders.has(path)) !== true;
  });
}
