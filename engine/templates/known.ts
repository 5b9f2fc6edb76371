/** Templates as a host knows them: the recipes that it has, and the names of others that were built here. */
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { outlineOf, type RecipeOutline, stepKeysOf } from "./publish.ts";
import type { Recipe } from "./recipe.ts";
import type { StepReport, Steps } from "./steps.ts";

export interface KnownTemplate {
  name: string;
  /** null: only a client has it. */
  recipe: Recipe | null;
  shipped: boolean;
  /** Built of this recipe; without a recipe, the newest that was built of a template of this name and can be thawed here. */
  snapshot: StoredSnapshot | null;
  /** Of the recipe that `snapshot` was built of, where its folder says that. */
  outline: RecipeOutline | null;
  /** All that were built of templates of this name here, and their variants, newest first. */
  snapshots: StoredSnapshot[];
  /** Steps that were made for it, or that its snapshots were made of: several templates may share one. */
  steps: StepReport[];
}

interface Context {
  store: Pick<SnapshotStore, "list">;
  steps: Pick<Steps, "report">;
  /** The snapshot of a recipe when there is one that this host can thaw. */
  built(recipe: Recipe): Promise<StoredSnapshot | null>;
  /** Why a snapshot can't be thawed here. */
  incompatible(snapshot: StoredSnapshot): Promise<string[]>;
}

/** The shipped templates in their order, then the others by name. */
export async function knownTemplates(context: Context, shipped: readonly Recipe[]): Promise<KnownTemplate[]> {
  const here = await look(context);
  const names = new Set([
    ...here.snapshots.flatMap(({ manifest }) => manifest.template?.name ?? []),
    ...here.steps.map(({ step }) => step.template),
  ]);
  for (const { name } of shipped) names.delete(name);
  return Promise.all([
    ...shipped.map((recipe) => describeRecipe(context, here, { recipe, shipped: true })),
    ...[...names].sort().map((name) => describeName(context, here, name)),
  ]);
}

/** A recipe that a client has. */
export async function knownTemplate(context: Context, recipe: Recipe): Promise<KnownTemplate> {
  return describeRecipe(context, await look(context), { recipe, shipped: false });
}

interface Here {
  /** Newest first. */
  snapshots: readonly StoredSnapshot[];
  steps: readonly StepReport[];
}

/** Anybody can write a template's name into a manifest: snapshots that came from elsewhere do not count. */
async function look({ store, steps }: Context): Promise<Here> {
  const [all, reports] = await Promise.all([store.list(), steps.report()]);
  const snapshots = all
    .filter(({ imported }) => !imported)
    .toSorted((a, b) => b.manifest.createdAt.localeCompare(a.manifest.createdAt));
  return { snapshots, steps: reports };
}

async function describeRecipe(
  { built }: Context,
  here: Here,
  { recipe, shipped }: { recipe: Recipe; shipped: boolean },
): Promise<KnownTemplate> {
  const snapshot = await built(recipe);
  const parts = await partsOf(here, recipe.name);
  return { name: recipe.name, recipe, shipped, snapshot, outline: null, ...parts };
}

async function describeName({ incompatible }: Context, here: Here, name: string): Promise<KnownTemplate> {
  const parts = await partsOf(here, name);
  let snapshot: StoredSnapshot | null = null;
  for (const one of parts.snapshots) {
    if (one.manifest.template === null || (await incompatible(one)).length > 0) continue;
    snapshot = one;
    break;
  }
  const outline = snapshot === null ? null : await outlineOf(snapshot.dir);
  return { name, recipe: null, shipped: false, snapshot, outline, ...parts };
}

async function partsOf(
  { snapshots, steps }: Here,
  name: string,
): Promise<Pick<KnownTemplate, "snapshots" | "steps">> {
  const built = snapshots.filter(({ manifest }) => manifest.template?.name === name);
  const ids = new Set(built.map(({ id }) => id));
  const variants = snapshots.filter(({ manifest }) => ids.has(manifest.variantOf ?? ""));
  const keys = new Set((await Promise.all(built.map(({ dir }) => stepKeysOf(dir)))).flat());
  return {
    snapshots: [...built, ...variants],
    steps: steps
      .filter(({ step }) => step.template === name || keys.has(step.key))
      .toSorted((a, b) => (a.step.createdAt < b.step.createdAt ? -1 : 1)),
  };
}
