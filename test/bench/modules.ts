/** What a bundle's entry loads at once. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A module and those that it imports at once; what it imports later is not loaded with it. */
export function modulesOf(entry: string, found = new Set<string>()): Set<string> {
  if (found.has(entry)) return found;
  found.add(entry);
  for (const [, path = ""] of readFileSync(entry, "utf8").matchAll(
    /(?:^|;)(?:import|export)[^;("]*"(\.[^"]+)"/g,
  ))
    modulesOf(join(dirname(entry), path), found);
  return found;
}
