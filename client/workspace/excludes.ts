import { readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { ThawError } from "../errors.ts";
import type { SourceFolder } from "../tree/source-folder.ts";
import { type GitSetting, lastValue, parseGitConfig } from "./git-config.ts";
import { compileGlob } from "./glob.ts";
import { MAX_RULES_BYTES } from "./ignore-rules.ts";
import type { Place, Repository } from "./repository.ts";
import { allSettings } from "./repository.ts";

const MAX_CONFIG_BYTES = 1 << 20;
const MAX_INCLUDES = 10;
const KEY = "core.excludesfile";

/** Rules that lie outside a repository, or in it at a place of its own. */
export interface ExcludesFile {
  content: Buffer;
  shown: string;
}

/** Reads a file of the user (or of the host): links are followed. @returns undefined when there is none that can be read. */
function readOwn(path: string, limit: number): Buffer | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true) return undefined;
  if (stats.size > limit) throw new ThawError("usage", `${path} has more than ${limit} bytes`);
  return readFileSync(path);
}

function tryReadOwn(path: string, limit: number): Buffer | undefined {
  try {
    return readOwn(path, limit);
  } catch (error) {
    if (error instanceof ThawError) throw error;
    return undefined;
  }
}

function expandHome(path: string): string {
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

/** Whether a conditional include counts. What is not known here (a branch, a remote) is taken as true: rather too much is left out. */
function isIncluded(condition: string, file: string, gitDir: string): boolean {
  const [, fold, wanted] = /^gitdir(\/i)?:(.*)$/s.exec(condition) ?? [];
  if (wanted === undefined) return true;
  let pattern = expandHome(wanted);
  if (pattern.startsWith("./")) pattern = join(realDirectory(file), pattern.slice(2));
  if (!pattern.startsWith("/")) pattern = `**/${pattern}`;
  if (pattern.endsWith("/")) pattern = `${pattern}**`;
  const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
  return compileGlob(latin1(pattern), { pathname: true, fold: fold !== undefined })(latin1(gitDir));
}

function realDirectory(file: string): string {
  return dirname(realpathSync(file));
}

/** A file's settings with those of the files that it includes, in order. */
function withIncludes(
  settings: readonly GitSetting[],
  options: { file: string; gitDir: string; read: (path: string) => GitSetting[]; depth?: number },
): GitSetting[] {
  const { file, gitDir, read, depth = 0 } = options;
  return settings.flatMap((setting) => {
    const [, condition] = /^include(?:if\.(.*))?\.path$/s.exec(setting.key) ?? [undefined, undefined];
    if (!/^include(if\..*)?\.path$/s.test(setting.key)) return [setting];
    if (depth >= MAX_INCLUDES || (condition !== undefined && !isIncluded(condition, file, gitDir))) return [];
    const path = resolve(dirname(file), expandHome(Buffer.from(setting.value, "latin1").toString("utf8")));
    return withIncludes(read(path), { ...options, file: path, depth: depth + 1 });
  });
}

function readOwnSettings(path: string): GitSetting[] {
  const content = tryReadOwn(path, MAX_CONFIG_BYTES);
  if (content === undefined) return [];
  try {
    return parseGitConfig(content);
  } catch (error) {
    throw new ThawError("usage", `can't tell what git ignores: ${path}: ${(error as Error).message}`, {
      hint: `git config --file ${path} --edit`,
    });
  }
}

/** A repository's includes are looked at for one setting only; what can't be read there counts for nothing, as for git. */
function readForeignSettings(path: string): GitSetting[] {
  try {
    const content = readOwn(path, MAX_CONFIG_BYTES);
    return content === undefined ? [] : parseGitConfig(content);
  } catch {
    return [];
  }
}

function userConfigFiles(): string[] {
  const { GIT_CONFIG_GLOBAL, GIT_CONFIG_SYSTEM, GIT_CONFIG_NOSYSTEM } = process.env;
  const system = /^(1|true|yes|on)$/i.test(GIT_CONFIG_NOSYSTEM ?? "")
    ? []
    : [GIT_CONFIG_SYSTEM ?? "/etc/gitconfig"];
  const own =
    GIT_CONFIG_GLOBAL === undefined
      ? [join(configHome(), "git/config"), join(homedir(), ".gitconfig")]
      : [GIT_CONFIG_GLOBAL];
  return [...system, ...own];
}

function configHome(): string {
  const { XDG_CONFIG_HOME } = process.env;
  return XDG_CONFIG_HOME === undefined || XDG_CONFIG_HOME === ""
    ? join(homedir(), ".config")
    : XDG_CONFIG_HOME;
}

/** A path beneath the work tree; undefined when it lies elsewhere. */
function pathInside(workTree: Place, path: string): Buffer | undefined {
  const inside = relative(workTree.folder.show(workTree.path), path);
  if (inside === "" || inside.startsWith("..")) return undefined;
  return workTree.path.length === 0
    ? Buffer.from(inside)
    : Buffer.concat([workTree.path, Buffer.from(`/${inside}`)]);
}

function readInside(folder: SourceFolder, path: Buffer): ExcludesFile | undefined {
  const content = folder.read(path, MAX_RULES_BYTES);
  return content === undefined ? undefined : { content, shown: folder.show(path) };
}

function readUsers(path: string): ExcludesFile | undefined {
  const content = tryReadOwn(path, MAX_RULES_BYTES);
  return content === undefined ? undefined : { content, shown: path };
}

/**
 * The rules that `core.excludesFile` names for a repository. A file that the user's or the host's configuration names is read wherever it
 * is; one that the repository names only when it lies in its work tree, since whoever made the repository may be a stranger.
 * @throws ThawError `usage` when git would obey rules that are not read here.
 */
export function readExcludesFile(repository: Repository): ExcludesFile | undefined {
  const gitDir = repository.gitDir.folder.show(repository.gitDir.path);
  const users = userConfigFiles().flatMap((file) =>
    withIncludes(readOwnSettings(file), { file, gitDir, read: readOwnSettings }),
  );
  const config = join(repository.commonDir.folder.show(repository.commonDir.path), "config");
  const repositorys = withIncludes(allSettings(repository), {
    file: config,
    gitDir,
    read: readForeignSettings,
  });
  const usersValue = lastValue(users, KEY);
  const ownValue = lastValue(repositorys, KEY);
  const usersPath = usersValue === undefined ? join(configHome(), "git/ignore") : toPath(usersValue);
  if (ownValue === undefined) return readNamed(repository.workTree, usersPath, true);
  return readNamed(repository.workTree, toPath(ownValue), toPath(ownValue) === usersPath);
}

/** @throws ThawError `usage` for what only git can expand. */
function toPath(latin1: string): string {
  const value = Buffer.from(latin1, "latin1").toString("utf8");
  if (/^(~[^/]|%\(|:\()/.test(value))
    throw new ThawError("usage", `can't tell what git ignores: core.excludesFile is ${value}`, {
      hint: "give the file's absolute path",
    });
  return expandHome(value);
}

function readNamed(workTree: Place, named: string, trusted: boolean): ExcludesFile | undefined {
  if (named === "") return undefined;
  const path = resolve(workTree.folder.show(workTree.path), named);
  if (trusted && isAbsolute(named)) return readUsers(path);
  const inside = pathInside(workTree, path);
  if (inside !== undefined) return readInside(workTree.folder, inside);
  if (trusted) return readUsers(path);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  throw new ThawError(
    "usage",
    `can't tell what git ignores: the repository's configuration names ${path}, which is outside of it`,
    { hint: `git config --global core.excludesFile ${path}, or --no-ignore` },
  );
}
