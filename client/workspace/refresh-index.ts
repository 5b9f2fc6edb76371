import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { joinPath } from "../tree/walk.ts";
import type { Breather } from "./breather.ts";
import { lastValue } from "./git-config.ts";
import { type IndexEntry, MODE } from "./git-index.ts";
import { allSettings, type Place, type Repository } from "./repository.ts";

/** Files whose times say nothing are read up to this many bytes in all, to find out whether they are unchanged. */
const MAX_HASHED_BYTES = 1 << 30;
const NS_PER_SECOND = 1_000_000_000n;

/**
 * A repository's index as it goes into a guest. Entries whose file was copied or touched, and is the same, get the file's present time and
 * size, as `git status` would do; extensions that speak of this host are dropped.
 */
export async function refreshIndex(repository: Repository, breather: Breather): Promise<Buffer | undefined> {
  const { index, workTree } = repository;
  if (index === undefined) return undefined;
  const format =
    lastValue(allSettings(repository), "extensions.objectformat") === "sha256" ? "sha256" : "sha1";
  const stats = new Map<IndexEntry, Found>();
  let budget = MAX_HASHED_BYTES;
  for (const entry of index.entries) {
    await breather.breathe();
    if (entry.stage !== 0 || entry.skipWorktree || entry.mode === MODE.repository) continue;
    const place = {
      folder: workTree.folder,
      path: joinPath(workTree.path, Buffer.from(entry.path, "latin1")),
    };
    const found = lookAt(place);
    if (found === undefined || index.isCurrent(entry, found)) continue;
    if (found.link !== (entry.mode === MODE.link) || found.size > budget) continue;
    budget -= found.size;
    if (hashBlob(place, found, format) === entry.oid) stats.set(entry, found);
  }
  return index.rewrite(stats);
}

interface Found {
  seconds: number;
  nanoseconds: number;
  size: number;
  link: boolean;
}

function lookAt({ folder, path }: Place): Found | undefined {
  try {
    const stats = folder.stat(path);
    if (stats === undefined || !(stats.isFile() || stats.isSymbolicLink())) return undefined;
    return {
      seconds: Number(stats.mtimeNs / NS_PER_SECOND) >>> 0,
      nanoseconds: Number(stats.mtimeNs % NS_PER_SECOND) >>> 0,
      size: Number(stats.size),
      link: stats.isSymbolicLink(),
    };
  } catch {
    return undefined;
  }
}

/** @returns the object id that git gives the content, without filters; undefined when it can't be read. */
function hashBlob({ folder, path }: Place, found: Found, format: "sha1" | "sha256"): string | undefined {
  const hash = createHash(format).update(`blob ${found.size}\0`);
  try {
    if (found.link) return hash.update(folder.readLink(path)).digest("hex");
    const file = folder.open(path);
    if (file === undefined) return undefined;
    try {
      const buffer = Buffer.allocUnsafe(1 << 20);
      let left = found.size;
      for (let read = -1; left > 0 && read !== 0; left -= read) {
        read = readSync(file.fd, buffer, 0, Math.min(buffer.length, left), null);
        hash.update(buffer.subarray(0, read));
      }
      return left === 0 ? hash.digest("hex") : undefined;
    } finally {
      closeSync(file.fd);
    }
  } catch {
    return undefined;
  }
}
