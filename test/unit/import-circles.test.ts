/** Files of the engine and of the API's shapes import one another one way only, types included. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, path]) =>
    normalize(join(dirname(file), path ?? "")),
  );
}

/** Each circle once, as the files along it. */
function circles(files: readonly string[]): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) found.push([...path.slice(at), file].join(" → "));
    if (at >= 0 || done.has(file)) return;
    for (const next of importsOf(file)) if (files.includes(next)) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  return found;
}

test.each(["api", "engine"])("no import circles in %s/", (folder) => {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));
  expect(files.length).toBeGreaterThan(10);
  expect(circles(files)).toEqual([]);
});
