/**
 * A template's setup as a chain: the booted machine first, then each step. The key of a link is a digest of all that it depends on, also the
 * link before, so the first link whose key is new is the first that has to run. Pure.
 */
import { sha256 } from "../../durable/digest.ts";
import type { Recipe, Step } from "./recipe.ts";

/** What the booted machine depends on. */
export interface BootIngredients {
  /** Names the root file system by what went into it. */
  rootfs: string;
  /** Debian suite of the kernel. */
  suite: string;
  /** Digests and names of what makes machines: agent, runner, form of the disk. */
  host: readonly string[];
}

export interface Link {
  key: string;
  /** As progress names it. */
  name: string;
  /** What runs in the machine of the link before; null: that machine boots. */
  step: Step | null;
}

export function chainOf(recipe: Recipe, { rootfs, suite, host }: BootIngredients): Link[] {
  const boot = { key: keyOf(["boot", rootfs, suite, recipe.resources, host]), name: "boot", step: null };
  const chain: Link[] = [boot];
  let { key } = boot;
  for (const step of recipe.setup) {
    // Its name is only shown.
    const { name, ...matters } = step;
    key = keyOf([key, matters, sorted(recipe.env), recipe.network]);
    chain.push({ key, name: `setup: ${name}`, step });
  }
  return chain;
}

function sorted(env: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
}

function keyOf(ingredients: unknown): string {
  return sha256(JSON.stringify(ingredients)).slice(0, 16);
}
