import { dirname, relative } from "node:path";
import { ThawError } from "./errors.ts";
import type { PackEntry } from "./tree/pack.ts";
import { SourceFolder } from "./tree/source-folder.ts";
import { Breather } from "./workspace/breather.ts";
import { Entries } from "./workspace/entries.ts";
import { excludeEntries } from "./workspace/exclude.ts";
import { addNestedRepository, addRepository } from "./workspace/git-folder.ts";
import {
  bareLayer,
  enterFolder,
  isIgnored,
  isTrackedBeneath,
  type Layer,
  makeLayer,
} from "./workspace/layer.ts";
import { refreshIndex } from "./workspace/refresh-index.ts";
import {
  isGitDir,
  placeIn,
  type Repository,
  readRepository,
  refuse,
  releaseRepository,
  Unusable,
} from "./workspace/repository.ts";
import { countFiles, findFilters, Selector } from "./workspace/select.ts";

/** What of a folder goes into a sandbox. */
export interface Workspace {
  entries: PackEntry[];
  /** What a person should know, e.g. what was left out. */
  notes: string[];
  /** Files that are left out because git ignores them, up to a million. */
  countLeftOut: () => Promise<number>;
}

/** How a workspace is chosen. */
export interface WorkspaceOptions {
  /** Leave out what git ignores. Default true. */
  ignore?: boolean;
  /** Rules as in a .gitignore, for what git tracks too. A repository's own folder stays whole. */
  exclude?: string | undefined;
  signal?: AbortSignal | undefined;
}

const EMPTY = Buffer.alloc(0);
/** The repository that `folder` is a part of: git looks upwards, on the same file system. */
function findAround(folder: SourceFolder): Repository | undefined {
  const device = folder.stat(EMPTY)?.dev;
  for (let path = folder.path; path !== "/"; ) {
    path = dirname(path);
    const above = new SourceFolder(path);
    if (above.stat(EMPTY)?.dev !== device) return undefined;
    const repository = readRepository({ folder: above, path: EMPTY });
    above.release();
    if (repository instanceof Unusable) {
      if (!repository.invalid) refuse(repository);
    } else if (repository !== undefined) return repository;
  }
  return undefined;
}

/** The layer of a folder inside a repository's work tree: with the rules of the folders above it. */
function makeInnerLayer(repository: Repository, folder: SourceFolder, onNote: (note: string) => void): Layer {
  const above = repository.workTree.folder;
  const names = relative(above.path, folder.path).split("/");
  let layer = makeLayer(repository, { strip: 0, prefix: "" });
  let path: Buffer = EMPTY;
  for (const name of names) {
    layer = enterFolder(layer, { folder: above, path, onNote });
    path = path.length === 0 ? Buffer.from(name) : Buffer.concat([path, Buffer.from(`/${name}`)]);
    if (!layer.trackedOnly && isIgnored(layer, path, true)) {
      if (!isTrackedBeneath(layer, path))
        throw new ThawError(
          "usage",
          `${folder.path}: the repository ${above.path} ignores ${path}, so nothing is sent`,
          {
            hint: "--no-ignore",
          },
        );
      layer = { ...layer, trackedOnly: true };
    }
  }
  above.release();
  return { ...layer, prefix: `${path.toString("latin1")}/` };
}

/** What the repository says that the folder is the top of, or is part of. */
function findLayer(
  folder: SourceFolder,
  options: { ignore: boolean; notes: string[] },
): { layer: Layer; top?: Repository; around?: Repository } {
  const { ignore, notes } = options;
  if (isGitDir({ folder, path: EMPTY }))
    throw new ThawError("usage", `${folder.path} is a .git folder, which has no files to work with`, {
      hint: `git clone ${folder.path} COPY`,
    });
  const top = readRepository({ folder, path: EMPTY });
  if (top instanceof Unusable) {
    if (ignore) refuse(top);
    notes.push(`not sent: ${folder.path}/.git: ${top.message}`);
    return { layer: bareLayer };
  }
  if (top !== undefined) return { layer: ignore ? makeLayer(top, { strip: 0, prefix: "" }) : bareLayer, top };
  const around = ignore ? findAround(folder) : undefined;
  if (around === undefined) return { layer: bareLayer };
  notes.push(
    `${folder.path} is part of the repository ${around.workTree.folder.path}: its files are sent, its history is not`,
  );
  return { layer: makeInnerLayer(around, folder, (note) => notes.push(note)), around };
}

/** Adds the repositories' own folders. @returns notes. */
async function addRepositories(
  entries: Entries,
  options: {
    folder: SourceFolder;
    top: Repository | undefined;
    nested: Repository[];
    ignore: boolean;
    breather: Breather;
  },
): Promise<string[]> {
  const { folder, top, nested, ignore, breather } = options;
  const notes: string[] = [];
  if (top !== undefined) {
    try {
      const index = await refreshIndex(top, breather);
      if (top.moved)
        notes.push(`${folder.path} is a worktree or submodule: it is sent as a repository of its own`);
      notes.push(...addRepository(entries, top, { path: Buffer.from(".git"), index, extra: [] }));
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      if (ignore) refuse(error);
      notes.push(`not sent whole: ${folder.path}/.git: ${error.message}`);
    }
    releaseRepository(top);
  }
  for (const repository of nested) {
    const index = await refreshIndex(repository, breather);
    try {
      notes.push(...addNestedRepository(entries, repository, { top, index }));
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      notes.push(`not sent whole: ${folder.show(repository.workTree.path)}/.git: ${error.message}`);
    }
    releaseRepository(repository);
  }
  return notes;
}

function describeFilters(filters: ReadonlySet<string>): string[] {
  if (filters.size === 0) return [];
  const names = [...filters].sort().join(", ");
  return [
    `git filters named in .gitattributes are not set in the sandbox: ${names}. Files that they change may look modified there`,
  ];
}

/**
 * Chooses what of `folder` is sent: in a repository what git tracks and what it does not ignore, with the repository's own folder cleaned;
 * elsewhere everything that no `.gitignore` names. Only reads files: neither git nor any program that the workspace names is run. Nothing
 * outside of the folder is sent, but for the repository of a worktree or submodule that names this folder as its own.
 * @throws ThawError `usage` when it is not a folder, or when it can't be told what git ignores.
 */
export async function collectWorkspace(path: string, options: WorkspaceOptions = {}): Promise<Workspace> {
  const { ignore = true, exclude, signal } = options;
  const folder = openWorkspace(path);
  const breather = new Breather(signal);
  const notes: string[] = [];
  const entries = new Entries();
  try {
    const { layer, top, around } = findLayer(folder, { ignore, notes });
    const selector = new Selector({ folder, entries, ignore, breather });
    const { nested, leftOut, filters, notes: walked } = await selector.run(layer);
    notes.push(...walked, ...(await addRepositories(entries, { folder, top, nested, ignore, breather })));
    for (const name of top === undefined ? [] : readInfoFilters(top)) filters.add(name);
    notes.push(...describeFilters(filters));
    const countLeftOut = (): Promise<number> =>
      countFiles(folder, leftOut, breather).finally(() => folder.release());
    if (top === undefined && around === undefined && leftOut.length > 0) {
      const count = await countLeftOut();
      notes.push(
        `${folder.path} is no git repository: ${count} files that its .gitignore files name are not sent (--no-ignore sends them)`,
      );
    }
    const list = entries.list();
    return { entries: exclude === undefined ? list : excludeEntries(list, exclude), notes, countLeftOut };
  } finally {
    folder.release();
  }
}

function openWorkspace(path: string): SourceFolder {
  try {
    return new SourceFolder(path);
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    throw new ThawError("usage", `the workspace ${error.message}`, { hint: "--workspace .", cause: error });
  }
}

function readInfoFilters(repository: Repository): string[] {
  const place = placeIn(repository.commonDir, "info", "attributes");
  if (place.folder.stat(place.path)?.isFile() !== true) return [];
  return findFilters(place.folder.read(place.path, 1 << 20)?.toString("utf8") ?? "");
}
