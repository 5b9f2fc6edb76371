/** Folders of published things: whatever is half made has a name that starts with a dot. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isTorn } from "../../durable/write.ts";

/** Names of the complete entries of a folder, sorted; none when there is no such folder. */
export async function completeEntries(dir: string): Promise<string[]> {
  return (await names(dir)).filter((name) => !name.startsWith(".")).sort();
}

/** Removes what a daemon that was killed left half made in a folder. */
export async function clearUnfinished(dir: string): Promise<void> {
  const unfinished = (await names(dir)).filter((name) => name.startsWith("."));
  await Promise.all(unfinished.map((name) => rm(join(dir, name), { recursive: true, force: true })));
}

/** Removes files of a folder that a daemon was writing when it was killed. */
export async function clearTorn(dir: string): Promise<void> {
  const torn = (await names(dir)).filter(isTorn);
  await Promise.all(torn.map((name) => rm(join(dir, name), { force: true })));
}

async function names(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
