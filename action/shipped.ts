import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Names of the templates that came with this build: they lie beside its bundles. Empty when none are found. */
export async function findShippedTemplates(): Promise<string[]> {
  const here = import.meta.dirname;
  for (const folder of [join(here, ".."), join(here, "..", "..")]) {
    const found = await readdir(join(folder, "templates"), { withFileTypes: true }).catch(() => []);
    if (found.length > 0)
      return found
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .sort();
  }
  return [];
}
