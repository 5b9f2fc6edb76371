/** One way to publish a folder: whole, or not there, after a power loss at any moment. */
import { chmod, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sync, writeNew } from "./write.ts";

export interface Publication {
  /** The folder with all parts, on the same file system as `target`. Nothing else writes to it. */
  draft: string;
  target: string;
  /** Written last of all files: a folder that has it has everything. null: a record elsewhere tells that the folder is there. */
  manifest: { name: string; text: string } | null;
  /** Permissions of the folder. */
  mode?: number;
}

/**
 * Syncs every part, writes and syncs the manifest, syncs the folders, renames `draft` to `target` and syncs the parent folder. When this
 * resolves the publication survives a power loss. When it rejects, nothing is at `target`, and the draft is as it was.
 * @returns false when `target` was there already; the draft is then left to its owner
 */
export async function publish(publication: Publication): Promise<boolean> {
  const { draft, manifest } = publication;
  try {
    return await rise(publication);
  } catch (error) {
    if (manifest !== null) await rm(join(draft, manifest.name), { force: true });
    throw error;
  }
}

async function rise({ draft, target, manifest, mode }: Publication): Promise<boolean> {
  await syncTree(draft);
  if (manifest !== null)
    await writeNew(join(draft, manifest.name), manifest.text, { mode: 0o444, survives: "power-loss" });
  if (mode !== undefined) await chmod(draft, mode);
  await sync(draft);
  try {
    await rename(draft, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTEMPTY" || code === "EEXIST") return false;
    throw error;
  }
  try {
    await sync(dirname(target));
    if (dirname(draft) !== dirname(target)) await sync(dirname(draft));
  } catch (error) {
    // It may be gone after a power loss: nobody is told of it.
    await rename(target, draft);
    throw error;
  }
  return true;
}

/** Syncs every file below a folder, then the folders themselves, deepest first. */
async function syncTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await sync(path);
  }
  await sync(dir);
}
