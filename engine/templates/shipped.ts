/** The templates that come with the product: one folder each, beside the bundle. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suggestNearest } from "../../api/nearest.ts";
import { EngineError } from "../errors.ts";
import { parseRecipe, type Recipe } from "./recipe.ts";

export async function shippedNames(dir: string): Promise<string[]> {
  return (await readdir(dir, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Finds a shipped recipe by its name or its tag. Throws `not-found` with the nearest names. */
export async function shippedRecipe(dir: string, wanted: string): Promise<Recipe> {
  return (await findShipped(dir, wanted)).recipe;
}

/** The text that `shippedRecipe` parses. */
export async function shippedText(dir: string, wanted: string): Promise<string> {
  return (await findShipped(dir, wanted)).text;
}

async function findShipped(dir: string, wanted: string): Promise<ShippedTemplate> {
  const all = await readShipped(dir);
  const found = all.find(({ recipe }) => isCalled(wanted)(recipe));
  if (found) return found;
  throw new EngineError("not-found", `no template ${wanted}`, {
    hint: suggestNearest(
      wanted,
      all.map(({ recipe }) => recipe.name),
      "thaw template ls",
    ),
  });
}

/** Tells whether `shippedRecipe` finds a recipe. */
export async function hasShipped(dir: string, wanted: string): Promise<boolean> {
  return (await shippedRecipes(dir)).some(isCalled(wanted));
}

const isCalled =
  (wanted: string) =>
  ({ name, tag }: Recipe): boolean =>
    name === wanted || tag === wanted;

export async function shippedRecipes(dir: string): Promise<Recipe[]> {
  return (await readShipped(dir)).map(({ recipe }) => recipe);
}

interface ShippedTemplate {
  recipe: Recipe;
  text: string;
}

/** What was read, by folder. Every thaw asks, and the files of an installed version never change. */
const read = new Map<string, Promise<ShippedTemplate[]>>();

function readShipped(dir: string): Promise<ShippedTemplate[]> {
  const known = read.get(dir);
  if (known !== undefined) return known;
  const reading = readAll(dir);
  read.set(dir, reading);
  reading.catch(() => read.delete(dir));
  return reading;
}

async function readAll(dir: string): Promise<ShippedTemplate[]> {
  const names = await shippedNames(dir);
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(dir, name, "template.yaml"), "utf8");
      return { text, recipe: parseRecipe(text, `${name}/template.yaml`) };
    }),
  );
}
