// Makes what the build of the template `base` takes from Debian's archive, its root file system and its kernel, so that a newcomer's first build finds
// them. Needs no part of thaw that has to be compiled: the bootstrap runs it beside the compilers.
import { join } from "node:path";
import { findPaths } from "../client/paths.ts";
import { checkListed } from "../durable/inventory.ts";
import { openHome } from "../engine/home.ts";
import { packageSources } from "../engine/rootfs/host-apt.ts";
import { makeRootfs, rootfsDir, suiteOf } from "../engine/rootfs/make.ts";
import { shippedRecipe } from "../engine/templates/shipped.ts";
import { findKernel } from "../runners/qemu/kernel/prepare.ts";

const { signal } = new AbortController();
const { home: root, autostart } = findPaths();
// The state of a host's daemon is that daemon's.
if (autostart !== false) {
  const recipe = await shippedRecipe(join(import.meta.dirname, "../templates"), "base");
  const home = openHome(root);
  const suite = suiteOf(recipe);
  const sources = () => packageSources(suite, signal);
  const dir = await rootfsDir(home, recipe, null);
  const isMade = (await checkListed(dir)) === "whole";
  await Promise.all([
    findKernel({ kernelsDir: home.kernels, suite, sources, signal }),
    isMade ? undefined : makeRootfs(home, recipe, { dir, form: null, signal }),
  ]);
}
