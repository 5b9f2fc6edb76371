/** Publishes a built machine as a snapshot. */
import { join } from "node:path";
import { z } from "zod";
import { type Packages, writePackages } from "../packages/installed.ts";
import { mib, type OnProgress, type Phase } from "../progress.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { writeAsked } from "../state/asked.ts";
import { completeEntries } from "../state/entries.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../state/record.ts";

/** A file in the folder of a snapshot that was built of steps. It is no part of the snapshot and does not travel. */
const STEPS_FILE = "steps.json";
const stepsKind = recordKind("steps of a snapshot", z.object({ keys: z.array(z.string()) }));
/** Likewise, in the folder of a snapshot that was built of a recipe: what a list shows of the recipe. */
const RECIPE_FILE = "recipe.json";
const recipeKind = recordKind(
  "recipe of a snapshot",
  z.object({
    from: z.string(),
    description: z.string(),
    /** Name of the root file system's folder; null: an older version did not note it. */
    rootfs: z.string().nullable().default(null),
  }),
);
export type RecipeOutline = z.infer<typeof recipeKind.shape>;

export interface BuildOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Id of the client's request, kept with the snapshot. */
  request?: string | undefined;
  /** Runs all steps again, also those that are kept. */
  force?: boolean;
  /** Makes the root file system of a Debian suite anew. */
  renew?: boolean;
}

/** What a snapshot's manifest says of its making, and the recipe's outline if it was built of one. */
export interface About extends Pick<Manifest, "template" | "variantOf" | "bootedFrom" | "warm" | "defaults"> {
  recipe?: RecipeOutline;
}

export function freezing(subject: string): Phase<StoredSnapshot> {
  return {
    ...{ subject, phase: "freeze" },
    detail: ({ manifest }) => {
      const bytes = Object.fromEntries(manifest.parts.map((part) => [part.name, part.storedBytes]));
      return `${mib(bytes.memory ?? 0)} memory, ${mib((bytes["disk.qcow2"] ?? 0) + (bytes.devices ?? 0))} devices+disk`;
    },
  };
}

/** @param made.steps keys of the steps that it was made of; made.packages: null when none are known */
export async function publishBuilt(
  store: SnapshotStore,
  draft: string,
  made: About &
    Pick<Manifest, "resources" | "needs"> & { steps?: readonly string[]; packages: Packages | null },
  { request, signal }: BuildOptions,
): Promise<StoredSnapshot> {
  const { steps, recipe, packages, ...about } = made;
  const survives = { survives: "power-loss" } as const;
  if (request !== undefined) await writeAsked(draft, { request });
  if (steps !== undefined)
    await writeRecord(join(draft, STEPS_FILE), stepsKind, { keys: [...steps] }, survives);
  if (recipe !== undefined) await writeRecord(join(draft, RECIPE_FILE), recipeKind, recipe, survives);
  if (packages !== null)
    await writePackages(draft, { ...packages, system: systemOfRecipe(recipe) ?? packages.system });
  return store.publish(draft, { createdAt: new Date().toISOString(), ...about }, signal);
}

/** A machine of Debian's unstable suite says that it is of the next release. */
function systemOfRecipe(recipe: RecipeOutline | undefined): string | undefined {
  return recipe?.from.startsWith("debian:") ? recipe.from.replace(":", " ") : undefined;
}

/** The outline of the recipe that the snapshot in a folder was built of; null when the folder has none. */
export async function outlineOf(dir: string): Promise<RecipeOutline | null> {
  return valueOrNull(await readRecord(join(dir, RECIPE_FILE), recipeKind));
}

/** Keys of the steps that the snapshot in a folder was made of. */
export async function stepKeysOf(dir: string): Promise<string[]> {
  return valueOrNull(await readRecord(join(dir, STEPS_FILE), stepsKind))?.keys ?? [];
}

/** Keys of the steps that the snapshots in a folder were made of, except those of `without`. */
export async function stepsOfSnapshots(
  dir: string,
  without: ReadonlySet<string> = new Set(),
): Promise<Set<string>> {
  const ids = (await completeEntries(dir)).filter((id) => !without.has(id));
  return new Set((await Promise.all(ids.map((id) => stepKeysOf(join(dir, id))))).flat());
}
