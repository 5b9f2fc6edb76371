/** The root file system of a recipe, made and published among those that are kept. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { sha256 } from "../../durable/digest.ts";
import { publishListed } from "../../durable/inventory.ts";
import type { RootDisk } from "../../runners/runner.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import { readDpkgQuery, writePackages } from "../packages/installed.ts";
import { SuiteIndexes } from "../packages/suite-index.ts";
import type { Recipe } from "../templates/recipe.ts";
import { AVAILABLE_FILE, INSTALLED_FILE } from "./argv.ts";
import { buildRootfs } from "./build.ts";
import { ROOT_DISK } from "./kept.ts";
import { DEFAULT_SUITE } from "./suites.ts";

type RootfsRecipe = Pick<Recipe, "from" | "packages" | "resources">;

/** Debian release of a recipe, e.g. `bookworm`; of an image, the release whose kernel it gets. */
export function suiteOf({ from }: Pick<Recipe, "from">): string {
  return from.startsWith("debian:") ? from.slice("debian:".length) : DEFAULT_SUITE;
}

/** The folder where this recipe's root file system is, or will be: of those that were made at different times, the newest. */
export async function rootfsDir(
  { rootfs }: Pick<Home, "rootfs">,
  recipe: RootfsRecipe,
  form: RootDisk | null,
): Promise<string> {
  const ingredients = [suiteOf(recipe), packagesOf(recipe), recipe.resources.disk, ...(await keyOf(form))];
  const key = sha256(JSON.stringify(ingredients)).slice(0, 16);
  const made = generations(await readdir(rootfs)).filter((one) => one.key === key);
  return join(rootfs, made.at(-1)?.name ?? key);
}

/** Where the same root file system goes when it is made anew: the name of the one before it, with a number. */
export function renewedDir(dir: string): string {
  const [{ key, number } = { key: basename(dir), number: 1 }] = generations([basename(dir)]);
  return join(dirname(dir), `${key}-${number + 1}`);
}

/** Folders that root file systems have, in the order of their numbers: of those with the same key, the last one is the newest. */
export function generations(names: readonly string[]): { name: string; key: string; number: number }[] {
  return names
    .flatMap((name) => {
      const [, key, number = "1"] = /^([0-9a-f]{16})(?:-(\d{1,9}))?$/.exec(name) ?? [];
      return key === undefined ? [] : [{ name, key, number: Number(number) }];
    })
    .toSorted((a, b) => a.number - b.number);
}

/** Makes the root file system in `dir`. @returns path of the disk. Rejects as {@link buildRootfs} does. */
export async function makeRootfs(
  home: Pick<Home, "rootfs" | "packages">,
  recipe: RootfsRecipe,
  { dir, form, signal }: { dir: string; form: RootDisk | null; signal: AbortSignal },
): Promise<string> {
  const suite = suiteOf(recipe);
  await publishRootfs(home, dir, (draft) =>
    buildRootfs({
      ...{ suite, packages: packagesOf(recipe), diskMib: recipe.resources.disk },
      ...{ outputDisk: join(draft, ROOT_DISK), form },
      onNotes: async (notes) => {
        const packages = await readDpkgQuery(join(notes, INSTALLED_FILE));
        if (packages !== null)
          await writePackages(draft, { manager: "dpkg", system: `debian ${suite}`, packages });
        await new SuiteIndexes(home.packages).keep(suite, join(notes, AVAILABLE_FILE));
      },
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

/** What a root file system's key has beside what it is made of. */
export async function keyOf(form: RootDisk | null): Promise<string[]> {
  return form === null ? [] : [await form.key()];
}

function packagesOf({ packages }: RootfsRecipe): string[] {
  return [...new Set(packages)].sort();
}
