/**
 * A template's setup as a chain: the booted machine first, then each step. The key of a link is a digest of all that it depends on, also the
 * link before, so the first link whose key is new is the first that has to run. Pure.
 */
import { sha256 } from "../../durable/digest.ts";
import type { Recipe, Step } from "./recipe.ts";

/** Everything that the booted machine depends on. */
export interface BootIngredients {
  /** Name of the root file system's folder: a digest of its ingredients. */
  rootfs: string;
  /** The Debian suite of the kernel. */
  suite: string;
  /** Digests and names of the agent, the runner and the disk layout. */
  host: readonly string[];
}

export interface Link {
  key: string;
  /** The name that progress shows. */
  name: string;
  /** What runs in the machine of the link before. `boot` is the first link and has none before it. */
  work: "boot" | "place" | Step;
}

export function chainOf(recipe: Recipe, { rootfs, suite, host }: BootIngredients): Link[] {
  const boot: Link = {
    key: keyOf(["boot", rootfs, suite, recipe.resources, host]),
    name: "boot",
    work: "boot",
  };
  const chain: Link[] = [boot];
  let { key } = boot;
  if (recipe.sent.length > 0 || recipe.fetch.length > 0) {
    const placed = recipe.sent.map(({ data: _data, ...file }) => file);
    const fetched = recipe.fetch.map(({ url: _url, ...file }) => file);
    key = keyOf([key, placed, fetched]);
    chain.push({ key, name: "files", work: "place" });
  }
  for (const step of recipe.setup) {
    // The name of a step is only shown; a change of it must not change the key.
    const { name, ...matters } = step;
    key = keyOf([key, matters, sorted(recipe.env), recipe.network]);
    chain.push({ key, name: `setup: ${name}`, work: step });
  }
  return chain;
}

function sorted(env: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
}

function keyOf(ingredients: unknown): string {
  return sha256(JSON.stringify(ingredients)).slice(0, 16);
}
