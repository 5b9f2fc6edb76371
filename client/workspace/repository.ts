import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ThawError } from "../errors.ts";
import { SourceFolder } from "../tree/source-folder.ts";
import { joinPath } from "../tree/walk.ts";
import { type GitSetting, isTrue, lastValue, parseGitConfig } from "./git-config.ts";
import { GitIndex, MAX_INDEX_BYTES } from "./git-index.ts";

const MAX_CONFIG_BYTES = 1 << 20;
const MAX_POINTER_BYTES = 64 << 10;
const HEAD_CONTENT = /^(ref:\s*refs\/|[0-9a-f]{40}([0-9a-f]{24})?\s*$)/;

/** A file or folder of this host, as a folder and a path in it. */
export interface Place {
  folder: SourceFolder;
  path: Buffer;
}

/** A repository that was found at a work tree. Nothing of it was run: only files were read. */
export interface Repository {
  /** The folder that its files lie in. */
  workTree: Place;
  /** HEAD, index and the like. */
  gitDir: Place;
  /** Objects, refs and configuration: that of the main repository for a worktree, else `gitDir`. */
  commonDir: Place;
  /** `gitDir` is not the folder `.git` of the work tree. */
  moved: boolean;
  settings: GitSetting[];
  /** Settings of this worktree alone. */
  worktreeSettings: GitSetting[] | undefined;
  index: GitIndex | undefined;
}

/** Why there is a `.git`, and no repository that can be used. */
export class Unusable extends Error {
  /** What to type. */
  readonly hint: string | undefined;
  /** It is no repository at all: git then looks further up. */
  readonly invalid: boolean;
  /** It is this folder's repository, and says something about its files that can't be read. */
  readonly unreadable: boolean;

  constructor(
    message: string,
    options: { hint?: string | undefined; invalid?: boolean; unreadable?: boolean } = {},
  ) {
    super(message);
    this.hint = options.hint;
    this.invalid = options.invalid ?? false;
    this.unreadable = options.unreadable ?? false;
  }
}

export function placeIn(place: Place, ...names: string[]): Place {
  const path = names.reduce((to, name) => joinPath(to, Buffer.from(name)), place.path);
  return { folder: place.folder, path };
}

function show({ folder, path }: Place): string {
  return folder.show(path);
}

function isFolder({ folder, path }: Place): boolean {
  return folder.stat(path)?.isDirectory() === true;
}

/** A file's text in latin1, without the spaces at its end; undefined when there is none. */
function readText({ folder, path }: Place, limit: number): string | undefined {
  return folder.read(path, limit)?.toString("latin1").trimEnd();
}

function toBytes(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** Whether HEAD is one: text, or a link to a branch as git made it long ago. */
function hasHead(gitDir: Place): boolean {
  const head = placeIn(gitDir, "HEAD");
  const stats = head.folder.stat(head.path);
  if (stats?.isSymbolicLink() === true)
    return /^refs\/(?!.*\.\.)/.test(head.folder.readLink(head.path).toString("latin1"));
  return stats?.isFile() === true && HEAD_CONTENT.test(readText(head, MAX_POINTER_BYTES) ?? "");
}

function checkGitDir(gitDir: Place, commonDir: Place): void {
  const missing = [
    ...(hasHead(gitDir) ? [] : ["HEAD"]),
    ...["objects", "refs"].filter((name) => !isFolder(placeIn(commonDir, name))),
  ];
  if (missing.length === 0) return;
  const names = missing.join(", ");
  throw new Unusable(`${show(gitDir)} is no repository: ${names} missing, damaged, or a link`, {
    invalid: true,
  });
}

/** Whether a folder is a repository itself, as bare ones are. */
export function isGitDir(place: Place): boolean {
  return hasHead(place) && ["objects", "refs"].every((name) => isFolder(placeIn(place, name)));
}

function readSettings(place: Place): GitSetting[] {
  const content = place.folder.read(place.path, MAX_CONFIG_BYTES);
  if (content === undefined) return [];
  try {
    return parseGitConfig(content);
  } catch (error) {
    throw new Unusable(`${show(place)}: ${(error as Error).message}`, {
      hint: `git config --file ${show(place)} --edit`,
      unreadable: true,
    });
  }
}

/** Settings of a submodule's repository. @throws Unusable */
export function readModuleSettings(gitDir: Place): GitSetting[] {
  return readSettings(placeIn(gitDir, "config"));
}

/** The main repository of a worktree. It has to hold `gitDir` in its `worktrees`, so that no file can name somebody else's. */
function findCommonDir(gitDir: Place): Place {
  const text = readText(placeIn(gitDir, "commondir"), MAX_POINTER_BYTES);
  if (text === undefined) return gitDir;
  const own = show(gitDir);
  const common = realPath(resolve(own, toBytes(text)));
  if (common === undefined) throw new Unusable(`${own} is part of ${toBytes(text)}, which is not there`);
  if (join(common, "worktrees", basename(own)) !== own)
    throw new Unusable(`${own} says that it is part of ${common}, and is not in its worktrees`);
  return { folder: new SourceFolder(common), path: Buffer.alloc(0) };
}

/** Whether a repository that lies elsewhere belongs to the work tree: it has to name it. Else a file could name any repository of the host. */
function pointsBack(gitDir: Place, settings: readonly GitSetting[], workTree: string): boolean {
  const own = show(gitDir);
  const pointer = readText(placeIn(gitDir, "gitdir"), MAX_POINTER_BYTES);
  const named =
    pointer === undefined
      ? lastValue(settings, "core.worktree")
      : dirname(resolve(own, toBytes(pointer))).replace(/\/$/, "");
  return named !== undefined && realPath(resolve(own, toBytes(named))) === workTree;
}

/** Where a `.git` that is a file or a link leads. */
function followPointer(git: Place, workTree: string, target: string): Place {
  const real = realPath(resolve(workTree, target));
  if (real === undefined) throw new Unusable(`${show(git)} names ${target}, which is not there`);
  try {
    return { folder: new SourceFolder(real), path: Buffer.alloc(0) };
  } catch {
    throw new Unusable(`${show(git)} names ${target}, which is not a folder`);
  }
}

/** @returns the folder that `.git` is or names; undefined when there is no `.git`. */
function findGitDir(git: Place, workTree: string): Place | undefined {
  const stats = git.folder.stat(git.path);
  if (stats === undefined) return undefined;
  if (stats.isDirectory()) return git;
  if (stats.isSymbolicLink())
    return followPointer(git, workTree, git.folder.readLink(git.path).toString("utf8"));
  if (!stats.isFile()) throw new Unusable(`${show(git)} is neither a folder nor a file`);
  const target = /^gitdir: *(.+)$/s.exec(readText(git, MAX_POINTER_BYTES) ?? "")?.[1];
  if (target === undefined) throw new Unusable(`${show(git)} names no repository`);
  return followPointer(git, workTree, toBytes(target));
}

function readIndex(gitDir: Place, settings: readonly GitSetting[]): GitIndex | undefined {
  const place = placeIn(gitDir, "index");
  const content = place.folder.read(place.path, MAX_INDEX_BYTES);
  if (content === undefined) return undefined;
  const format = lastValue(settings, "extensions.objectformat") ?? "sha1";
  if (format !== "sha1" && format !== "sha256") throw new Unusable(`objects named by ${format} are unknown`);
  try {
    return new GitIndex(content, format);
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    const type = hint === undefined ? `rm ${show(place)} && git reset` : hint;
    throw new Unusable(`${show(place)} can't be read: ${message}`, { hint: type, unreadable: true });
  }
}

/** Refuses a repository whose files are elsewhere than beside its `.git`. */
function checkWorkTree(gitDir: Place, settings: readonly GitSetting[], workTree: string): void {
  const own = show(gitDir);
  if (isTrue(settings, "core.bare"))
    throw new Unusable(`${own} says that it is bare`, { hint: `git -C ${own} config core.bare false` });
  const named = lastValue(settings, "core.worktree");
  if (named === undefined || realPath(resolve(own, toBytes(named))) === workTree) return;
  throw new Unusable(`${own} belongs to ${toBytes(named)}`, {
    hint: `git --git-dir ${own} config --unset core.worktree`,
  });
}

function openRepository(workTree: Place, options: { index: boolean }): Repository | undefined {
  const tree = show(workTree);
  const git = placeIn(workTree, ".git");
  const gitDir = findGitDir(git, tree);
  if (gitDir === undefined) return undefined;
  const moved = gitDir !== git;
  const commonDir = findCommonDir(gitDir);
  checkGitDir(gitDir, commonDir);
  const settings = readSettings(placeIn(commonDir, "config"));
  const worktreeSettings = isTrue(settings, "extensions.worktreeconfig")
    ? readSettings(placeIn(gitDir, "config.worktree"))
    : undefined;
  const all = [...settings, ...(worktreeSettings ?? [])];
  if (!moved) checkWorkTree(gitDir, all, tree);
  else if (!pointsBack(gitDir, all, tree))
    throw new Unusable(`${show(git)} names ${show(gitDir)}, which does not name ${tree}`, {
      hint: `git -C ${tree} config core.worktree ${tree}`,
    });
  const index = options.index ? readIndex(gitDir, all) : undefined;
  return { workTree, gitDir, commonDir, moved, settings, worktreeSettings, index };
}

/** Refuses a workspace for the sake of a repository. */
export function refuse({ message, hint }: Unusable): never {
  const other = "--no-ignore sends every file, and no .git that can't be read";
  throw new ThawError("usage", `the workspace can't be read as git reads it: ${message}`, {
    hint: hint === undefined ? other : `${hint} (or ${other})`,
  });
}

/** Closes what reading the repository left open; it opens again when it is read. */
export function releaseRepository({ gitDir, commonDir, workTree }: Repository): void {
  for (const { folder } of [gitDir, commonDir]) if (folder !== workTree.folder) folder.release();
}

/**
 * Reads the repository whose files lie in a folder, without git.
 * @param options index: read the index too (default true)
 * @returns undefined when there is none, `Unusable` when there is one that can't be used.
 */
export function readRepository(
  workTree: Place,
  options: { index: boolean } = { index: true },
): Repository | Unusable | undefined {
  try {
    const repository = openRepository(workTree, options);
    if (repository !== undefined) releaseRepository(repository);
    return repository;
  } catch (error) {
    if (error instanceof Unusable) return error;
    if (error instanceof ThawError)
      return new Unusable(error.message, { hint: error.hint, unreadable: true });
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return new Unusable(`${show(placeIn(workTree, ".git"))} can't be read: ${message}`);
  }
}

/** All settings of a repository, the last one counts. */
export function allSettings({ settings, worktreeSettings }: Repository): GitSetting[] {
  return [...settings, ...(worktreeSettings ?? [])];
}
