import { relative } from "node:path";
import { ThawError } from "../errors.ts";
import type { SourceFolder } from "../tree/source-folder.ts";
import { joinPath } from "../tree/walk.ts";
import { beneath, type Entries } from "./entries.ts";
import { cleanGitConfig, type GitSetting, lastValue, stripCredentials } from "./git-config.ts";
import { type Place, placeIn, type Repository, readModuleSettings, Unusable } from "./repository.ts";

const MAX_REF_BYTES = 1024;
const MAX_LOG_BYTES = 64 << 20;
const HEX = "[0-9a-f]";

/** Folders of a repository that are sent, by their paths in it: those of its work tree alone, and those that worktrees share. */
const ownFolders =
  /^(logs|info|refs|refs\/(bisect|worktree|rewritten)(\/.*)?|logs\/refs|logs\/refs\/(bisect|worktree|rewritten)(\/.*)?|rebase-merge|rebase-apply|sequencer)$/s;
const SHARED_FOLDERS = new RegExp(
  `^(objects(/(${HEX}{2}|pack|info(/commit-graphs)?))?|refs(/(?!(bisect|worktree|rewritten)(/|$)).*)?|logs|logs/refs(/(?!(bisect|worktree|rewritten)(/|$)).*)?|info|lfs(/objects(/${HEX}{2}){0,2})?|reftable)$`,
  "s",
);

/** Files likewise. Everything else stays here, whatever it is: hooks, credentials, cookies, locks, what other programs put there. */
const ownFiles =
  /^((ORIG_|FETCH_|MERGE_|CHERRY_PICK_|REVERT_|REBASE_)?HEAD|MERGE_(MSG|MODE|RR)|AUTO_MERGE|SQUASH_MSG|COMMIT_EDITMSG|BISECT_[A-Z_]+|info\/sparse-checkout|logs\/HEAD|(logs\/)?refs\/(bisect|worktree|rewritten)\/.+|(rebase-merge|rebase-apply|sequencer)\/[^/]+)$/s;
const SHARED_FILES = new RegExp(
  `^(packed-refs|shallow|description|info/(exclude|attributes|grafts)|(logs/)?refs/(?!(bisect|worktree|rewritten)/).+|objects/${HEX}{2}/${HEX}{38}(${HEX}{24})?|objects/pack/(pack-${HEX}+\\.[a-z]+|multi-pack-index[a-z0-9.-]*)|objects/info/(packs|commit-graph|commit-graphs/(graph-${HEX}+\\.graph|commit-graph-chain))|lfs/objects/${HEX}{2}/${HEX}{2}/${HEX}{64}|reftable/(tables\\.list|0x${HEX}+-0x${HEX}+-${HEX}+\\.(ref|log)))$`,
  "s",
);

/** How a repository's own folder is sent. */
interface GitDirOptions {
  gitDir: Place;
  commonDir: Place;
  /** Where it goes in the tree. */
  path: Buffer;
  config: Buffer;
  worktreeConfig?: Buffer | undefined;
  index?: Buffer | undefined;
}

/** Takes passwords out of URLs in a text. */
function cleanText(content: Buffer): Buffer {
  const text = content.toString("latin1");
  const cleaned = text.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s'"]+/gi, (url) => stripCredentials(url));
  return Buffer.from(cleaned, "latin1");
}

/** What goes instead of a file's own content; null: the file is not what its name says. */
function replaceContent(place: Place, name: string): Buffer | undefined | null {
  const { folder, path } = place;
  if (/^refs\//.test(name)) {
    const content = tryRead(folder, path, MAX_REF_BYTES);
    const text = content?.toString("latin1") ?? "";
    return /^(ref:\s*refs\/[^\n]+|[0-9a-f]{40}([0-9a-f]{24})?)\s*$/.test(text) || name === "refs/heads"
      ? (content ?? null)
      : null;
  }
  if (/^logs\//.test(name) || name === "FETCH_HEAD") {
    const content = tryRead(folder, path, MAX_LOG_BYTES);
    return content === undefined ? null : cleanText(content);
  }
  return undefined;
}

function tryRead(folder: SourceFolder, path: Buffer, limit: number): Buffer | undefined {
  try {
    return folder.read(path, limit);
  } catch (error) {
    if (error instanceof ThawError && error.code === "usage") return undefined;
    throw error;
  }
}

/** Adds the files of one folder that are known and needed. @throws Unusable when objects or refs lie elsewhere. */
function addKnown(
  entries: Entries,
  from: Place,
  options: { path: Buffer; folders: RegExp[]; files: RegExp[] },
): void {
  const { path, folders, files } = options;
  const pending = [""];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const place = at === "" ? from : { folder: from.folder, path: beneath(from.path, at) };
    for (const entry of place.folder.list(place.path)) {
      const name = at === "" ? entry.name.toString("latin1") : `${at}/${entry.name.toString("latin1")}`;
      const source = joinPath(place.path, entry.name);
      const target = beneath(path, name);
      if (entry.isDirectory()) {
        if (!folders.some((pattern) => pattern.test(name))) continue;
        entries.set({ folder: from.folder, source, path: target });
        pending.push(name);
      } else if (entry.isFile()) {
        if (!files.some((pattern) => pattern.test(name)) || name.endsWith(".lock")) continue;
        const content = replaceContent({ folder: from.folder, path: source }, name);
        if (content === null) continue;
        entries.set({ folder: from.folder, source, path: target, ...(content && { content }) });
      } else if (/^(objects|refs|packed-refs|shallow|reftable)(\/|$)/.test(name)) {
        throw new Unusable(
          `${from.folder.show(source)} is a link or no file: the repository lies in several places`,
          {
            hint: `git clone ${from.folder.show(from.path)} COPY`,
          },
        );
      }
    }
  }
}

function addGitDir(entries: Entries, options: GitDirOptions): void {
  const { gitDir, commonDir, path, config, worktreeConfig, index } = options;
  const alternates = placeIn(commonDir, "objects", "info", "alternates");
  if (alternates.folder.stat(alternates.path) !== undefined)
    throw new Unusable(`${commonDir.folder.show(commonDir.path)} borrows objects from another repository`, {
      hint: `git repack -a -d && rm ${alternates.folder.show(alternates.path)}`,
    });
  entries.set({ folder: commonDir.folder, source: commonDir.path, path });
  const one = gitDir === commonDir;
  if (one) {
    const folders = [ownFolders, SHARED_FOLDERS];
    addKnown(entries, gitDir, { path, folders, files: [ownFiles, SHARED_FILES] });
  } else {
    addKnown(entries, commonDir, { path, folders: [SHARED_FOLDERS], files: [SHARED_FILES] });
    addKnown(entries, gitDir, { path, folders: [ownFolders], files: [ownFiles] });
  }
  const head = placeIn(gitDir, "HEAD");
  if (head.folder.stat(head.path)?.isSymbolicLink() === true)
    entries.set({ folder: head.folder, source: head.path, path: beneath(path, "HEAD") });
  const addMade = (name: string, content: Buffer | undefined, from: Place): void => {
    if (content === undefined) return;
    const place = placeIn(from, name);
    const source = place.folder.stat(place.path)?.isFile() === true ? place.path : head.path;
    const { folder } = source === head.path ? head : place;
    entries.set({ folder, source, path: beneath(path, name), content });
  };
  addMade("config", config, commonDir);
  addMade("config.worktree", worktreeConfig, gitDir);
  addMade("index", index, gitDir);
}

/** Adds the repositories of submodules in `modules`: a folder with a HEAD is one, others are parts of names. @returns notes. */
function addModules(entries: Entries, from: Place, path: Buffer): string[] {
  const notes: string[] = [];
  const pending = [{ from: placeIn(from, "modules"), path: beneath(path, "modules") }];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const { folder } = at.from;
    if (folder.stat(at.from.path)?.isDirectory() !== true) continue;
    const isRepository = folder.stat(placeIn(at.from, "HEAD").path) !== undefined;
    try {
      if (isRepository) addModule(entries, at);
      else entries.set({ folder, source: at.from.path, path: at.path });
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      notes.push(`not sent: ${folder.show(at.from.path)}: ${error.message}`);
      continue;
    }
    const below = isRepository ? placeIn(at.from, "modules") : at.from;
    if (folder.stat(below.path)?.isDirectory() !== true) continue;
    const to = isRepository ? beneath(at.path, "modules") : at.path;
    if (isRepository) entries.set({ folder, source: below.path, path: to });
    for (const entry of folder.list(below.path))
      if (entry.isDirectory())
        pending.push({
          from: { folder, path: joinPath(below.path, entry.name) },
          path: joinPath(to, entry.name),
        });
  }
  return notes;
}

function addModule(entries: Entries, at: { from: Place; path: Buffer }): void {
  const config = cleanGitConfig(readModuleSettings(at.from));
  addGitDir(entries, { gitDir: at.from, commonDir: at.from, path: at.path, config });
}

function cleanSettings(repository: Repository, extra: GitSetting[], moved: boolean): GitDirOptions["config"] {
  const settings = repository.settings.filter(({ key }) => extra.length === 0 || key !== "core.worktree");
  return cleanGitConfig(settings, { moved, extra });
}

/**
 * Adds a repository at the top of the workspace as `.git`, and those of its submodules.
 * @param options path: where it goes. index: what goes as its index.
 * @returns what a person should know.
 * @throws Unusable
 */
export function addRepository(
  entries: Entries,
  repository: Repository,
  options: { path: Buffer; index: Buffer | undefined; extra: GitSetting[] },
): string[] {
  const { gitDir, commonDir, moved, worktreeSettings } = repository;
  const { path, index, extra } = options;
  const reftable = lastValue(repository.settings, "extensions.refstorage") === "reftable";
  if (reftable && gitDir !== commonDir)
    throw new Unusable("a worktree of a repository with reftables can't be sent", {
      hint: `git clone ${repository.workTree.folder.show(repository.workTree.path)} COPY`,
    });
  const config = cleanSettings(repository, extra, moved);
  const worktreeConfig =
    worktreeSettings === undefined ? undefined : cleanGitConfig(worktreeSettings, { moved });
  addGitDir(entries, { gitDir, commonDir, path, config, worktreeConfig, index });
  const notes = addModules(entries, commonDir, path);
  if (gitDir !== commonDir) notes.push(...addModules(entries, gitDir, path));
  return notes;
}

/** Where a repository of a submodule goes in the tree, when it lies among the top repository's modules; undefined when elsewhere. */
function findAmongModules(top: Repository | undefined, repository: Repository): string | undefined {
  const own = repository.gitDir.folder.show(repository.gitDir.path);
  for (const place of top === undefined ? [] : [top.gitDir, top.commonDir]) {
    const modules = `${place.folder.show(place.path)}/modules/`;
    if (own.startsWith(modules)) return `.git/modules/${own.slice(modules.length)}`;
  }
  return undefined;
}

/**
 * Adds a repository below the top of the workspace: one among the top repository's modules stays there, and a file names it; any other
 * becomes the folder `.git`.
 */
export function addNestedRepository(
  entries: Entries,
  repository: Repository,
  options: { top: Repository | undefined; index: Buffer | undefined },
): string[] {
  const { top, index } = options;
  const { folder, path } = repository.workTree;
  const git = beneath(path, ".git");
  const module = repository.moved ? findAmongModules(top, repository) : undefined;
  if (module === undefined || repository.gitDir !== repository.commonDir)
    return addRepository(entries, repository, { path: git, index, extra: [] });
  const treePath = path.toString("latin1");
  const content = Buffer.from(`gitdir: ${relative(treePath, module)}\n`, "latin1");
  const extra = [{ key: "core.worktree", value: relative(`/${module}`, `/${treePath}`) }];
  const notMoved = { ...repository, moved: false };
  const notes = addRepository(entries, notMoved, { path: Buffer.from(module), index, extra });
  entries.set({ folder, source: git, path: git, content });
  return notes;
}
