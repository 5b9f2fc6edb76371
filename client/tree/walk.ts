import { type Dirent, readdirSync } from "node:fs";
import type { PackEntry } from "./pack.ts";

const slash = Buffer.from("/");

/** Joins a folder's path and a name, as bytes. An empty folder adds nothing. */
export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return folder.length === 0 ? Buffer.from(name) : Buffer.concat([folder, slash, name]);
}

/**
 * Walks everything beneath `source`, folders before what is in them, in the order of names.
 * @param options prefix: put before each path. keep: false leaves an entry, and all beneath it, out.
 */
export function* walkFolder(
  source: Uint8Array,
  options: { prefix?: Uint8Array; keep?: (path: Buffer, directory: boolean) => boolean } = {},
): Generator<PackEntry, void> {
  const { prefix = Buffer.alloc(0), keep } = options;
  const folders: { source: Uint8Array; path: Uint8Array }[] = [{ source, path: prefix }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const below: typeof folders = [];
    for (const entry of listFolder(folder.source)) {
      const path = joinPath(folder.path, entry.name);
      const directory = entry.isDirectory();
      if (keep?.(path, directory) === false) continue;
      const full = joinPath(folder.source, entry.name);
      yield { source: full, path };
      if (directory) below.push({ source: full, path });
    }
    while (below.length > 0) folders.push(below.pop() as (typeof folders)[0]);
  }
}

/** A folder that can't be read is noticed by who packs it; here it is empty. */
function listFolder(folder: Uint8Array): Dirent<Buffer>[] {
  try {
    const entries = readdirSync(Buffer.from(folder), {
      withFileTypes: true,
      encoding: "buffer",
    }) as Dirent<Buffer>[];
    return entries.sort((a, b) => a.name.compare(b.name));
  } catch {
    return [];
  }
}
