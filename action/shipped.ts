import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Names of the templates that came with this build: they lie beside its bundles. Empty when none are found. */
export async function findShippedTemplates(): Promise<string[]> {
  const folder = join(import.meta.dirname, "../templates");
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return found
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}
