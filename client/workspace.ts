import { realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { ThawError } from "./errors.ts";
import { runGit } from "./git.ts";
import type { PackEntry } from "./tree/pack.ts";
import { Entries } from "./workspace/entries.ts";
import { addGitFiles } from "./workspace/git-files.ts";
import { addGitFolder } from "./workspace/git-folder.ts";
import { addUnignored } from "./workspace/ignore-files.ts";

/** What of a folder goes into a sandbox. */
export interface Workspace {
  entries: PackEntry[];
  /** What a person should know, e.g. what was left out. */
  notes: string[];
}

/** How a workspace is chosen. */
export interface WorkspaceOptions {
  /** Leave out what git ignores. Default true. */
  ignore?: boolean;
  signal?: AbortSignal | undefined;
}

interface Repository {
  top: string;
  gitFolder: string;
  /** Shared by all worktrees. */
  commonFolder: string;
}

async function findRepository(folder: string, signal?: AbortSignal): Promise<Repository | string> {
  const args = ["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir"];
  const answer = await runGit(folder, args, signal);
  signal?.throwIfAborted();
  if ("failed" in answer) return answer.failed;
  const [top = "", gitFolder = "", commonFolder = ""] = answer.output.toString("utf8").split("\n");
  return { top, gitFolder, commonFolder };
}

/** Adds the repository's own folder as `.git`. @returns what a person should know. */
async function addRepository(
  entries: Entries,
  folder: string,
  options: { repository: Repository; signal?: AbortSignal | undefined },
): Promise<string[]> {
  const { repository, signal } = options;
  const { gitFolder, commonFolder } = repository;
  if (repository.top !== folder) {
    return [`${folder} is part of the repository ${repository.top}: its files are sent, its history is not`];
  }
  const path = Buffer.from(".git");
  const moved = gitFolder !== join(folder, ".git");
  const notes = moved ? [`${folder} is a worktree or submodule: it is sent as a repository of its own`] : [];
  if (commonFolder !== gitFolder)
    await addGitFolder(entries, { source: Buffer.from(commonFolder), path, moved, signal });
  await addGitFolder(entries, { source: Buffer.from(gitFolder), path, moved, signal });
  if (statSync(join(commonFolder, "objects/info/alternates"), { throwIfNoEntry: false }) !== undefined) {
    notes.push(`${folder} borrows objects from another repository: those are not sent`);
  }
  return notes;
}

/**
 * Chooses what of `folder` is sent: with git what git sees, and the repository without its credentials; without git everything that no
 * `.gitignore` names.
 * @throws ThawError `usage` when it is not a folder.
 */
export async function collectWorkspace(folder: string, options: WorkspaceOptions = {}): Promise<Workspace> {
  const { ignore = true, signal } = options;
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new ThawError("usage", `the workspace ${folder} is not a folder`, { hint: "--workspace ." });
  }
  const root = realpathSync(folder);
  const entries = new Entries(root);
  const repository = await findRepository(root, signal);
  const notes: string[] = [];
  if (typeof repository === "string") {
    if (statSync(join(root, ".git"), { throwIfNoEntry: false }) !== undefined) {
      notes.push(`${root}/.git is not sent: ${repository}`);
    }
    await addUnignored(entries, { ignore, signal });
    return { entries: entries.list(), notes };
  }
  const refused = ignore ? await addGitFiles(entries, Buffer.alloc(0), signal) : "not asked";
  if (refused !== undefined) await addUnignored(entries, { ignore, signal });
  notes.push(...(await addRepository(entries, root, { repository, signal })));
  return { entries: entries.list(), notes };
}
