/** Files that a reader only ever sees whole, and how much of a host's failure they survive. */
import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface WriteOptions {
  /**
   * What a file that was written is still there after. `power-loss`: the file and its folder are synced, which costs some ten milliseconds.
   * `daemon`: only the rename; after a power loss the old content, the new content or an empty file is there.
   */
  survives: "power-loss" | "daemon";
  /** Permissions; default 0o644. */
  mode?: number;
}

/** Begins the names of files that this process has not written to their end. */
const own = randomBytes(6).toString("hex");

/** Whether a file is one that a process which has ended did not write to its end. */
export function isTorn(name: string): boolean {
  return /^\.[0-9a-f]{12,24}\.tmp$/.test(name) && !name.startsWith(`.${own}`);
}

/** Writes under way, by path. */
const writing = new Map<string, Promise<void>>();

/**
 * Replaces the file `path` by `text` in one step. On failure the old file is unchanged. Throws the system's error. Of several calls for one
 * path the last one's text remains, whatever each has to wait for.
 */
export async function writeWhole(
  path: string,
  text: string | Uint8Array,
  options: WriteOptions,
): Promise<void> {
  const before = writing.get(path);
  const written = (before ?? Promise.resolve()).then(() => replace(path, text, options));
  const settled = written.catch(() => {});
  writing.set(path, settled);
  try {
    await written;
  } finally {
    if (writing.get(path) === settled) writing.delete(path);
  }
}

async function replace(
  path: string,
  text: string | Uint8Array,
  { survives, mode = 0o644 }: WriteOptions,
): Promise<void> {
  const beside = join(dirname(path), `.${own}${randomBytes(6).toString("hex")}.tmp`);
  try {
    await writeNew(beside, text, { mode, survives });
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  if (survives === "power-loss") await sync(dirname(path));
}

/** Writes a file that must not exist yet; synced when it has to survive a power loss. */
export async function writeNew(
  path: string,
  text: string | Uint8Array,
  { mode = 0o644, survives }: WriteOptions,
): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(text);
    if (survives === "power-loss") await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the content of a file, or the names in a folder, reach the disk. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
