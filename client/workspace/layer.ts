import { ThawError } from "../errors.ts";
import type { SourceFolder } from "../tree/source-folder.ts";
import { readExcludesFile } from "./excludes.ts";
import { isTrue } from "./git-config.ts";
import { type GitIndex, type IndexEntry, MODE } from "./git-index.ts";
import { IgnoreRules, MAX_RULES_BYTES } from "./ignore-rules.ts";
import { allSettings, placeIn, type Repository } from "./repository.ts";

/** What one repository (or none) says about a folder of the workspace and what is in it. Paths are latin1. */
export interface Layer {
  index: GitIndex | undefined;
  /** A path of the workspace becomes one of the repository: without so many characters, with this before it. */
  strip: number;
  prefix: string;
  fold: boolean;
  /** Rules of the `.gitignore` files on the way down, the deepest first. */
  rules: readonly IgnoreRules[];
  /** Rules for the whole repository, which count after those. */
  fixed: readonly IgnoreRules[];
  /** An ignored folder with tracked files in it: nothing else there is sent. */
  trackedOnly: boolean;
}

/** The layer of a folder that is in no repository. */
export const bareLayer: Layer = {
  index: undefined,
  strip: 0,
  prefix: "",
  fold: false,
  rules: [],
  fixed: [],
  trackedOnly: false,
};

/** Reads a file of rules. @throws ThawError `usage` when it can't be read. */
function readRules(folder: SourceFolder, path: Buffer): Buffer | undefined {
  try {
    return folder.read(path, MAX_RULES_BYTES);
  } catch (error) {
    if (!(error instanceof ThawError) || error.code !== "usage") throw error;
    const message = `can't tell what git ignores: ${error.message}`;
    throw new ThawError("usage", message, { hint: "--no-ignore sends every file", cause: error });
  }
}

/** The layer of a repository, at its top. @throws ThawError `usage` when its rules can't be read. */
export function makeLayer(repository: Repository, options: { strip: number; prefix: string }): Layer {
  const { commonDir, index } = repository;
  const fold = isTrue(allSettings(repository), "core.ignorecase");
  const fixed: IgnoreRules[] = [];
  const info = placeIn(commonDir, "info");
  const stats = info.folder.stat(info.path);
  if (stats !== undefined && !stats.isDirectory())
    throw new ThawError(
      "usage",
      `can't tell what git ignores: ${info.folder.show(info.path)} is not a folder`,
    );
  const exclude = placeIn(info, "exclude");
  const content = readRules(exclude.folder, exclude.path);
  const shown = exclude.folder.show(exclude.path);
  if (content !== undefined) fixed.push(IgnoreRules.parse(content, { base: "", fold, shown }));
  const excludes = readExcludesFile(repository);
  if (excludes !== undefined)
    fixed.push(IgnoreRules.parse(excludes.content, { base: "", fold, shown: excludes.shown }));
  return { ...bareLayer, ...options, index, fold, fixed };
}

export function toRepositoryPath({ prefix, strip }: Layer, path: Buffer): string {
  return prefix + path.toString("latin1").slice(strip);
}

function findTracked(layer: Layer, path: Buffer): IndexEntry | undefined {
  return layer.index?.get(toRepositoryPath(layer, path));
}

export function isTrackedBeneath(layer: Layer, path: Buffer): boolean {
  return layer.index?.hasBeneath(toRepositoryPath(layer, path)) === true;
}

/** Whether the rules leave a path out; it is not asked whether it is tracked. */
export function isIgnored(layer: Layer, path: Buffer, directory: boolean): boolean {
  if (layer.trackedOnly) return true;
  const name = toRepositoryPath(layer, path);
  for (const rules of [...layer.rules, ...layer.fixed]) {
    const verdict = rules.test(name, directory);
    if (verdict !== undefined) return verdict;
  }
  return false;
}

/** Whether the index has the path: as a submodule when a folder lies there, else as a file. */
export function isTracked(layer: Layer, path: Buffer, directory: boolean): boolean {
  const entry = findTracked(layer, path);
  return entry !== undefined && (!directory || entry.mode === MODE.repository);
}

/**
 * The layer of a folder: with the rules of the `.gitignore` in it.
 * @param onNote is told why there are none though there is such a file.
 */
export function enterFolder(
  layer: Layer,
  options: { folder: SourceFolder; path: Buffer; onNote: (note: string) => void },
): Layer {
  const { folder, path, onNote } = options;
  const file =
    path.length === 0 ? Buffer.from(".gitignore") : Buffer.concat([path, Buffer.from("/.gitignore")]);
  const stats = folder.stat(file);
  if (stats === undefined) {
    if (findTracked(layer, file)?.skipWorktree !== true) return layer;
    onNote(`${folder.show(file)} is not checked out: of its folder only what git tracks is sent`);
    return { ...layer, trackedOnly: true };
  }
  if (!stats.isFile()) {
    if (!stats.isDirectory()) onNote(`${folder.show(file)} is a link or no file: not obeyed`);
    return layer;
  }
  const content = readRules(folder, file) ?? Buffer.alloc(0);
  const base = toRepositoryPath(layer, file).slice(0, -".gitignore".length);
  const rules = IgnoreRules.parse(content, { base, fold: layer.fold, shown: folder.show(file) });
  return { ...layer, rules: [rules, ...layer.rules] };
}
