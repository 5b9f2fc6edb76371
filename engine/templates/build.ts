/** Builds a snapshot from a recipe: makes the root file system, boots it, runs the setup inside the machine, warms it up and freezes it. */
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Resources, Runner } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Packages } from "../packages/installed.ts";
import { phase } from "../progress.ts";
import { suiteOf } from "../rootfs/make.ts";
import { obtainRootfs } from "../rootfs/obtain.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { layersOf, type Manifest } from "../snapshots/manifest.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { type BootPlan, bootAndFreeze, sameKernel } from "./boot.ts";
import { type BuildContext, buildChain } from "./build-chain.ts";
import { type BootContext, warmUp } from "./build-machine.ts";
import { chainOf } from "./chain.ts";
import { type About, type BuildOptions, freezing, publishBuilt } from "./publish.ts";
import type { Recipe } from "./recipe.ts";

/**
 * Builds and publishes a snapshot. Unfinished folders are removed; if the daemon is killed meanwhile, the next start removes them.
 * @param host digests and names of the agent, the runner and the disk layout; they are part of the keys of steps
 */
export async function buildTemplate(
  context: BuildContext,
  recipe: Recipe,
  { key, host, ...options }: BuildOptions & { key: string; host: readonly string[] },
): Promise<StoredSnapshot> {
  await needHost(context.runner, false);
  const needTools = () => needHost(context.runner, true);
  using _roots = context.roots.use();
  const base = await obtainRootfs({ ...context, needTools }, recipe, options);
  const resources: Resources = {
    cpus: recipe.resources.cpus,
    memoryMib: recipe.resources.memory,
    diskMib: recipe.resources.disk,
  };
  const suite = suiteOf(recipe);
  const rootfs = basename(dirname(base.disk));
  const plan = { subject: recipe.name, resources, kernel: { suite }, disks: [base.disk] };
  const about = {
    template: { name: recipe.name, buildKey: key },
    recipe: { from: recipe.from, description: recipe.description, rootfs },
    ...{ variantOf: null, bootedFrom: null },
    warm: recipe.warm.map((step) => step.run),
    defaults: {
      ...{ env: { ...base.defaults.env, ...recipe.env } },
      ...{ user: recipe.user ?? base.defaults.user, workdir: recipe.workdir ?? base.defaults.workdir },
      ...(recipe.onThaw.length === 0 ? {} : { onThaw: recipe.onThaw }),
    },
  };
  if (recipe.setup.length + recipe.sent.length + recipe.fetch.length === 0)
    return bootToSnapshot(context, { ...plan, about }, options);
  const withEnv = { ...recipe, env: about.defaults.env };
  const chain = chainOf(withEnv, { rootfs, suite, host });
  return buildChain(context, { recipe: withEnv, chain, about, plan }, options);
}

/** Throws `host-not-ready` with every missing tool at once. @param all also checks the tools that only a root file system needs */
async function needHost(runner: Runner, all: boolean): Promise<void> {
  const missing = (await runner.probe()).filter(({ state, fatal }) => state === "missing" && (fatal || all));
  if (missing.length === 0) return;
  throw new EngineError("host-not-ready", missing.map(({ detail }) => detail).join("; "), {
    hint: [...new Set(missing.map(({ hint }) => hint ?? "thaw doctor"))].join("; "),
  });
}

/** Boots a snapshot's disk with other resources and freezes the machine. */
export function buildVariant(
  context: BuildContext,
  of: StoredSnapshot,
  resources: Resources,
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { template, warm, defaults, needs } = of.manifest;
  const subject = `${template?.name ?? of.id} ${resources.cpus} cpu ${resources.memoryMib} MiB`;
  const about = { template: null, variantOf: of.id, bootedFrom: null, warm, defaults };
  const disks = ["disk.qcow2", ...layersOf(of.manifest)].map((name) => join(of.dir, name));
  return bootToSnapshot(context, { subject, disks, resources, about, kernel: sameKernel(needs) }, options);
}

/**
 * Boots a disk and freezes the machine. For snapshots and captures whose memory this host can't resume.
 * @param of.bootedFrom id of the snapshot or capture that the disk belongs to; later thaws find the result by it
 * @param of.disks the disk chain, the lowest layer first
 */
export function buildFromDisk(
  context: LiveContext,
  of: Pick<Manifest, "resources" | "defaults" | "needs"> & { bootedFrom: string; disks: string[] },
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { bootedFrom, disks, resources, defaults, needs } = of;
  const about = { template: null, variantOf: null, bootedFrom, warm: [], defaults };
  const plan = { subject: bootedFrom, disks, resources, about, kernel: sameKernel(needs) };
  return bootToSnapshot(context, plan, options);
}

/** Removes the folder and the processes of a build that an earlier daemon did not finish. */
export async function clearBuild(context: Pick<BootContext, "home" | "runner">, id: string): Promise<void> {
  const stateDir = join(context.home.builds, id);
  await context.runner.clear({ id, stateDir });
  await rm(stateDir, { recursive: true, force: true });
}

/** Boots a disk, warms the machine up and freezes it into a snapshot. No setup steps run. */
function bootToSnapshot(
  context: LiveContext,
  {
    about,
    ...plan
  }: Pick<BootPlan<unknown>, "subject" | "disks" | "resources" | "kernel"> & { about: About },
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { subject } = plan;
  const warming = { subject, phase: "warm" };
  let packages: Packages | null = null;
  return bootAndFreeze(
    context,
    {
      ...plan,
      async prepare(agent, signal) {
        packages = await phase(options.onProgress, warming, () => warmUp(agent, about, signal));
      },
      freeze: freezing(subject),
      publish: (draft, made) => publishBuilt(context.store, draft, { ...about, ...made, packages }, options),
    },
    options,
  );
}
