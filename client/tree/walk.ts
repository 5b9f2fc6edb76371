import type { Dirent } from "node:fs";
import { ThawError } from "../errors.ts";
import type { PackEntry } from "./pack.ts";
import type { SourceFolder } from "./source-folder.ts";

const SLASH = Buffer.from("/");

/** Joins a folder's path and a name, as bytes. An empty folder adds nothing. */
export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return folder.length === 0 ? Buffer.from(name) : Buffer.concat([folder, SLASH, name]);
}

/**
 * Walks everything beneath `at` (default: all) in a folder, folders before what is in them, in the order of names.
 * @param options prefix: put before each path of the tree. keep: false leaves an entry, and all beneath it, out; it is told the path
 *   beneath `at`.
 */
export function* walkFolder(
  folder: SourceFolder,
  options: { at?: Buffer; prefix?: Uint8Array; keep?: (path: Buffer, directory: boolean) => boolean } = {},
): Generator<PackEntry, void> {
  const { at = Buffer.alloc(0), prefix = Buffer.alloc(0), keep } = options;
  const folders: Buffer[] = [Buffer.alloc(0)];
  for (let walked = folders.pop(); walked !== undefined; walked = folders.pop()) {
    const below: Buffer[] = [];
    const place = walked.length === 0 ? at : joinPath(at, walked);
    const listing = listFolder(folder, place);
    if (typeof listing === "string") {
      yield { folder, source: place, path: joinPath(prefix, walked), unreadable: listing };
      continue;
    }
    for (const entry of listing) {
      const path = joinPath(walked, entry.name);
      const directory = entry.isDirectory();
      if (keep?.(path, directory) === false) continue;
      yield { folder, source: joinPath(at, path), path: joinPath(prefix, path) };
      if (directory) below.push(path);
    }
    folders.push(...below.reverse());
  }
}

/** @returns what is in a folder, or why that can't be told. */
export function listFolder(folder: SourceFolder, path: Buffer): Dirent<Buffer>[] | string {
  try {
    return folder.list(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof ThawError || code === undefined) throw error;
    return `what is in it can't be read: ${code}`;
  }
}
