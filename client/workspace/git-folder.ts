import { lstatSync } from "node:fs";
import { readCleanGitConfig } from "../git-config.ts";
import type { PackEntry } from "../tree/pack.ts";
import { joinPath, walkFolder } from "../tree/walk.ts";
import type { Entries } from "./entries.ts";

/** In a repository's own folder: locks, sockets and hooks of this host, other worktrees, and what may hold a password. */
const leftOut =
  /^(.*\.lock|fsmonitor--daemon.*|hooks|worktrees|remotes|branches|commondir|gitdir|locked|.*credential.*)$/i;
const configName = /(^|\/)config(\.worktree)?$/;

/** How a repository's folder is sent. */
export interface GitFolderOptions {
  /** The folder on this host. */
  source: Uint8Array;
  /** Where it goes in the tree. */
  path: Buffer;
  /** It will lie in its working tree as `.git`, though it does not here: settings that say otherwise are dropped. */
  moved: boolean;
  signal?: AbortSignal | undefined;
}

/** Whether a file called `config` is a repository's, and not a branch of that name. */
function isRepositoryConfig(entry: PackEntry): boolean {
  if (!configName.test(entry.path.toString("latin1"))) return false;
  const source = Buffer.from(entry.source);
  const folder = source.subarray(0, source.lastIndexOf(0x2f));
  return lstatSync(joinPath(folder, Buffer.from("HEAD")), { throwIfNoEntry: false }) !== undefined;
}

/** Adds a repository's folder, with its configuration (and that of its submodules) cleaned of credentials. */
export async function addGitFolder(entries: Entries, options: GitFolderOptions): Promise<void> {
  const { source, path, moved, signal } = options;
  const own = path.length + 1;
  const keep = (entry: Buffer): boolean => !leftOut.test(entry.subarray(own).toString("latin1"));
  entries.set({ source, path });
  for (const entry of walkFolder(source, { prefix: path, keep })) {
    if (!isRepositoryConfig(entry)) {
      entries.set(entry);
      continue;
    }
    const content = await readCleanGitConfig(Buffer.from(entry.source).toString("utf8"), { moved, signal });
    if (content !== undefined) entries.set({ ...entry, content });
  }
}
