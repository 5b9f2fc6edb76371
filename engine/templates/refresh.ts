/**
 * Finds out whether what was built of a template is outdated. Only a refresh that a client asks for comes here: it is the one place that
 * asks a mirror or a registry for news.
 */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { RootDisk } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Home } from "../home.ts";
import { type Packages, readPackages } from "../packages/installed.ts";
import { judge } from "../packages/outdated.ts";
import { SuiteIndexes, suiteOfSystem } from "../packages/suite-index.ts";
import { type OnProgress, phase } from "../progress.ts";
import { imageDir } from "../rootfs/image/kept.ts";
import { type ImageReference, imageReference } from "../rootfs/image/reference.ts";
import { resolveImage } from "../rootfs/image/resolve.ts";
import { keyOf, rootfsDir, suiteOf } from "../rootfs/make.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { outlineOf } from "./publish.ts";
import type { Recipe } from "./recipe.ts";

const MAX_NAMED = 5;

/** What has to be made anew. */
export interface Outdated {
  /** The root file system of the Debian suite. */
  root: boolean;
  /** What was built. */
  built: boolean;
  /** What is outdated, or that nothing is: for people. */
  detail: string;
}

interface Context {
  home: Pick<Home, "rootfs" | "packages">;
  indexes: SuiteIndexes;
}

/**
 * @param present what was built of the recipe; null: nothing
 * Rejects when the news can't be had: as `SuiteIndexes.refresh` or `resolveImage` do.
 */
export function findOutdated(
  home: Context["home"],
  { recipe, present, form }: { recipe: Recipe; present: StoredSnapshot | null; form: RootDisk | null },
  { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
): Promise<Outdated> {
  const context = { home, indexes: new SuiteIndexes(home.packages) };
  const about = { subject: recipe.name, phase: "refresh", detail: ({ detail }: Outdated) => detail };
  return phase(onProgress, about, async () => {
    const reference = imageReference(recipe.from);
    if (reference !== null) return ofImage(context, { recipe, reference, present, form }, signal);
    await context.indexes.refresh(suiteOf(recipe), signal);
    return outdatedSuite(context, { recipe, present, form });
  });
}

/** By the index that is there. */
export async function outdatedSuite(
  { home, indexes }: Context,
  {
    recipe,
    present,
    form = null,
  }: { recipe: Recipe; present: Pick<StoredSnapshot, "dir"> | null; form?: RootDisk | null },
): Promise<Outdated> {
  const index = await indexes.read(suiteOf(recipe));
  const outdatedIn = async (dir: string): Promise<{ outdated: boolean; detail: string }> => {
    const packages = await readPackages(dir);
    if (packages === null)
      return { outdated: true, detail: "an older version of thaw built it and noted no packages" };
    const names = outdatedNames(packages, index);
    return { outdated: names.length > 0, detail: toldNames(names, packages.packages.length) };
  };
  const rootDir = await rootfsDir(home, recipe, form);
  const hasRoot = (await stat(rootDir).catch(() => null)) !== null;
  const root = hasRoot ? await outdatedIn(rootDir) : null;
  const built = present === null ? null : await outdatedIn(present.dir);
  const shown = built?.outdated === true ? built : root;
  return {
    root: root?.outdated === true,
    built: built?.outdated === true || (built !== null && root?.outdated === true),
    detail: shown?.outdated === true ? shown.detail : "nothing is outdated",
  };
}

async function ofImage(
  { home, indexes }: Context,
  {
    recipe,
    reference,
    present,
    form,
  }: {
    recipe: Recipe;
    reference: ImageReference;
    present: StoredSnapshot | null;
    form: RootDisk | null;
  },
  signal: AbortSignal,
): Promise<Outdated> {
  const found = (built: boolean, detail: string): Outdated => ({ root: false, built, detail });
  // The build itself asks which image it is.
  if (present === null) return found(false, "nothing is built yet");
  if (reference.digest === undefined) {
    const { digest } = await resolveImage(reference, signal);
    const outline = await outlineOf(present.dir);
    const dir = imageDir(home, digest, recipe.resources.disk, await keyOf(form));
    if (outline?.rootfs !== basename(dir))
      return found(true, `the tag leads to another image: ${digest.slice(0, 19)}`);
  }
  const packages = await readPackages(present.dir);
  const suite = packages === null ? null : suiteOfSystem(packages.system);
  if (packages === null || suite === null) return found(false, "the image is the same");
  try {
    await indexes.refresh(suite, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    return found(false, `the image is the same; ${error.message}`);
  }
  const names = outdatedNames(packages, await indexes.read(suite));
  if (names.length === 0) return found(false, "nothing is outdated");
  const told = `the image is the same; ${toldNames(names, packages.packages.length)}`;
  // Only a step can bring newer ones.
  return found(recipe.setup.length > 0, told);
}

function outdatedNames(packages: Packages, index: Parameters<typeof judge>[1]): string[] {
  return judge(packages, index).packages.flatMap(([name, , , newer]) => (newer === null ? [] : [name]));
}

function toldNames(names: readonly string[], all: number): string {
  const more = names.length > MAX_NAMED ? ", …" : "";
  return `${names.length} of ${all} packages are outdated: ${names.slice(0, MAX_NAMED).join(", ")}${more}`;
}
