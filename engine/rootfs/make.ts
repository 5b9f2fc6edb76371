/** The root file system of a recipe, made and published among those that are kept. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../../durable/digest.ts";
import { publishListed } from "../../durable/inventory.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import type { Recipe } from "../templates/recipe.ts";
import { buildRootfs } from "./build.ts";
import { ROOT_DISK } from "./kept.ts";
import { DEFAULT_SUITE } from "./suites.ts";

type RootfsRecipe = Pick<Recipe, "from" | "packages" | "resources">;

/** Debian release of a recipe, e.g. `bookworm`; of an image, the release whose kernel it gets. */
export function suiteOf({ from }: Pick<Recipe, "from">): string {
  return from.startsWith("debian:") ? from.slice("debian:".length) : DEFAULT_SUITE;
}

/** The folder where this recipe's root file system is, or will be. */
export function rootfsDir({ rootfs }: Pick<Home, "rootfs">, recipe: RootfsRecipe): string {
  const ingredients = [suiteOf(recipe), packagesOf(recipe), recipe.resources.disk];
  return join(rootfs, sha256(JSON.stringify(ingredients)).slice(0, 16));
}

/** @returns path of the disk. Rejects as {@link buildRootfs} does. */
export async function makeRootfs(
  home: Pick<Home, "rootfs">,
  recipe: RootfsRecipe,
  signal: AbortSignal,
): Promise<string> {
  const dir = rootfsDir(home, recipe);
  await publishRootfs(home, dir, (draft) =>
    buildRootfs({
      suite: suiteOf(recipe),
      packages: packagesOf(recipe),
      diskMib: recipe.resources.disk,
      outputDisk: join(draft, ROOT_DISK),
      signal,
    }),
  );
  return join(dir, ROOT_DISK);
}

/** Has a folder filled, and publishes it as `dir` when that succeeds. */
export async function publishRootfs(
  { rootfs }: Pick<Home, "rootfs">,
  dir: string,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = join(rootfs, `.${randomId()}`);
  await mkdir(draft);
  try {
    await fill(draft);
    await publishListed(draft, dir);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

function packagesOf({ packages }: RootfsRecipe): string[] {
  return [...new Set(packages)].sort();
}
