/** The root file system of a recipe: the one that was made before, or a new one. */
import { statSync } from "node:fs";
import type { Runner } from "../../runners/runner.ts";
import type { Home } from "../home.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { Recipe } from "../templates/recipe.ts";
import { keptRootfs } from "./kept.ts";
import { makeRootfs, rootfsDir } from "./make.ts";

/** A root disk, and how commands run in it where the recipe does not say it. */
export interface Rootfs {
  disk: string;
  defaults: { env: Record<string, string>; user: string; workdir: string };
}

interface Context {
  home: Home;
  runner: Pick<Runner, "diskFault">;
  /** Throws `host-not-ready` when the host lacks tools that make a root file system. */
  needTools(): Promise<void>;
}

const DEBIAN_DEFAULTS: Rootfs["defaults"] = { env: {}, user: "root", workdir: "/root" };

export async function obtainRootfs(
  { home, runner, needTools }: Context,
  recipe: Recipe,
  { onProgress, signal }: { onProgress: OnProgress; signal: AbortSignal },
): Promise<Rootfs> {
  const diskMib = recipe.resources.disk;
  const kept = await keptRootfs(rootfsDir(home, recipe), { diskMib, runner, signal });
  if (kept !== null) return { disk: kept, defaults: DEBIAN_DEFAULTS };
  await needTools();
  const disk = await phase(
    onProgress,
    { subject: recipe.name, phase: "root file system", detail: (path: string) => mib(statSync(path).size) },
    () => makeRootfs(home, recipe, signal),
  );
  return { disk, defaults: DEBIAN_DEFAULTS };
}
