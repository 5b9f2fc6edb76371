/** From a recipe to a snapshot: root file system, boot, setup inside the machine, warm-up, freeze. */
import { createReadStream } from "node:fs";
import { chmod, constants, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Agent } from "../../runners/agent/agent.ts";
import type { KernelSource, Machine, MachineNeeds, Resources, Runner } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import type { HostNetwork } from "../network/host.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import { packageSources } from "../rootfs/host-apt.ts";
import { suiteOf } from "../rootfs/make.ts";
import { obtainRootfs } from "../rootfs/obtain.ts";
import { freshIdentity } from "../sandboxes/identity.ts";
import { layersOf, type Manifest } from "../snapshots/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { writeAsked } from "../state/asked.ts";
import { runGuestStep } from "./guest-step.ts";
import type { Recipe } from "./recipe.ts";
import { setUp } from "./set-up.ts";

/** An emulated guest on a busy host boots in seconds, not minutes. */
const BOOT_DEADLINE_MS = 120_000;
const DEFAULT_SUITE = "bookworm";
/** Series of kernels, as they begin, and the Debian suites that have them. */
const KERNEL_SUITES = [
  ["6.1.", "bookworm"],
  ["6.12.", "trixie"],
] as const;
/** What every first exec needs, so that its pages are in the guest's cache. */
const ALWAYS_WARM = ["true", "/bin/sh -c 'cat /proc/uptime' > /dev/null", "sync"];

export interface BuildContext {
  home: Home;
  store: SnapshotStore;
  runner: Runner;
  hostNetwork: HostNetwork;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
}
export interface BuildOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Id of the client's request, kept with the snapshot. */
  request?: string | undefined;
}

/** Builds, publishes and tags. Half-made things are removed; a daemon killed meanwhile leaves a folder in `builds` for the next. */
export async function buildTemplate(
  context: BuildContext,
  recipe: Recipe,
  key: string,
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { onProgress, signal } = options;
  await needHost(context.runner, false);
  const needTools = () => needHost(context.runner, true);
  const base = await obtainRootfs({ ...context, needTools }, recipe, options);
  const resources: Resources = {
    cpus: recipe.resources.cpus,
    memoryMib: recipe.resources.memory,
    diskMib: recipe.resources.disk,
  };
  const about = {
    template: { name: recipe.name, buildKey: key },
    variantOf: null,
    bootedFrom: null,
    warm: recipe.warm.map((step) => step.run),
    defaults: {
      ...{ env: { ...base.defaults.env, ...recipe.env } },
      ...{ user: recipe.user ?? base.defaults.user, workdir: recipe.workdir ?? base.defaults.workdir },
      ...(recipe.onThaw.length === 0 ? {} : { onThaw: recipe.onThaw }),
    },
  };
  return bootAndFreeze(
    context,
    { subject: recipe.name, disks: [base.disk], resources, about, kernel: { suite: suiteOf(recipe) } },
    options,
    async (agent) => {
      if (recipe.setup.length === 0) return;
      await setUp(
        agent,
        { ...recipe, env: about.defaults.env },
        { host: context.hostNetwork, onProgress, signal },
      );
    },
  );
}

/** What is missing is said before any work, all of it at once. `all`: also what only the making of a root file system needs. */
async function needHost(runner: Runner, all: boolean): Promise<void> {
  const missing = (await runner.probe()).filter(({ state, fatal }) => state === "missing" && (fatal || all));
  if (missing.length === 0) return;
  throw new EngineError("host-not-ready", missing.map(({ detail }) => detail).join("; "), {
    hint: [...new Set(missing.map(({ hint }) => hint ?? "thaw doctor"))].join("; "),
  });
}

/** The same disk booted with other resources and frozen once. */
export function buildVariant(
  context: BuildContext,
  of: StoredSnapshot,
  resources: Resources,
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { template, warm, defaults, needs } = of.manifest;
  const subject = `${template?.name ?? of.id} ${resources.cpus} cpu ${resources.memoryMib} MiB`;
  const about = { template: null, variantOf: of.id, bootedFrom: null, warm, defaults };
  return bootAndFreeze(
    context,
    {
      ...{ subject, resources, about, kernel: sameKernel(needs) },
      disks: ["disk.qcow2", ...layersOf(of.manifest)].map((name) => join(of.dir, name)),
    },
    options,
    async () => {},
  );
}

/**
 * A disk booted cold and frozen once: for machines whose memory this host can't resume.
 * @param of.bootedFrom what the disk is of, so that it is found again
 * @param of.disks the chain, lowest first
 */
export function buildFromDisk(
  context: BuildContext,
  of: Pick<Manifest, "resources" | "defaults" | "needs"> & { bootedFrom: string; disks: string[] },
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { bootedFrom, disks, resources, defaults, needs } = of;
  const about = { template: null, variantOf: null, bootedFrom, warm: [], defaults };
  const plan = { subject: bootedFrom, disks, resources, about, kernel: sameKernel(needs) };
  return bootAndFreeze(context, plan, options, async () => {});
}

/** Removes what builds of an earlier daemon left. */
export async function clearBuild(context: Pick<BuildContext, "home" | "runner">, id: string): Promise<void> {
  const stateDir = join(context.home.builds, id);
  await context.runner.clear({ id, stateDir });
  await rm(stateDir, { recursive: true, force: true });
}

interface Plan {
  subject: string;
  /** Lowest first. */
  disks: string[];
  resources: Resources;
  about: Pick<Manifest, "template" | "variantOf" | "bootedFrom" | "warm" | "defaults">;
  kernel: Pick<KernelSource, "suite" | "version">;
}

/** The kernel that a disk was used with; where it is not here any more, the newest of its suite. */
function sameKernel({ kernel }: MachineNeeds): Plan["kernel"] {
  const suite = KERNEL_SUITES.find(([prefix]) => kernel.startsWith(prefix))?.[1] ?? DEFAULT_SUITE;
  return { suite, version: kernel };
}

async function bootAndFreeze(
  context: BuildContext,
  { subject, disks, resources, about, kernel: from }: Plan,
  { onProgress, signal, request }: BuildOptions,
  work: (agent: Agent) => Promise<void>,
): Promise<StoredSnapshot> {
  const { runner, store } = context;
  const kernel = await phase(
    onProgress,
    {
      subject: "kernel",
      phase: "fetch",
      detail: (ready: { version: string; cached: boolean }) =>
        `${ready.version}${ready.cached ? " cached" : ""}`,
    },
    () => runner.prepareKernel({ ...from, sources: () => packageSources(from.suite, signal) }, signal),
  );
  const needs = await runner.needs(kernel.kernelDir, signal);
  const id = `build-${randomId()}`;
  const stateDir = join(context.home.builds, id);
  const draft = join(stateDir, "snapshot");
  await mkdir(draft, { recursive: true });
  let machine: Machine | null = null;
  try {
    const target = join(draft, "disk.qcow2");
    const [disk = "", ...layers] = disks;
    if (layers.length === 0) await copyFile(disk, target, constants.COPYFILE_FICLONE);
    else {
      const room = (bytes: number) => context.needDisk(bytes);
      await runner.flattenDisk(disks, target, resources.diskMib, { room, signal });
    }
    // A snapshot's own disk is read-only.
    await chmod(target, 0o600);
    const agent = await phase(
      onProgress,
      {
        subject,
        phase: "boot",
        detail: () =>
          needs.accelerator === "tcg" ? "emulated: no working /dev/kvm here (thaw doctor)" : undefined,
      },
      async () => {
        machine = await runner.boot(
          {
            id,
            stateDir,
            resources,
            kernelDir: kernel.kernelDir,
            disk: { path: target, format: "qcow2" },
            memoryFile: join(draft, "memory"),
          },
          signal,
        );
        return greetBooted(machine, signal);
      },
    );
    if (kernel.library !== null)
      await giveModules(agent, { subject, ...kernel, library: kernel.library }, onProgress);
    await work(agent);
    await phase(onProgress, { subject, phase: "warm" }, async () => {
      await agent.quiesce();
      for (const run of [...about.warm, ...ALWAYS_WARM]) {
        await runGuestStep(
          agent,
          { name: run, run, env: about.defaults.env, user: about.defaults.user, cwd: about.defaults.workdir },
          () => {},
          signal,
        );
      }
    });
    agent.close();
    const stored = await phase(
      onProgress,
      {
        subject,
        phase: "freeze",
        detail: ({ manifest }: StoredSnapshot) => {
          const bytes = Object.fromEntries(manifest.parts.map((part) => [part.name, part.storedBytes]));
          return `${mib(bytes.memory ?? 0)} memory, ${mib((bytes["disk.qcow2"] ?? 0) + (bytes.devices ?? 0))} devices+disk`;
        },
      },
      async () => {
        await machine?.freeze(draft);
        if (request !== undefined) await writeAsked(draft, { request });
        return store.publish(
          draft,
          { createdAt: new Date().toISOString(), ...about, resources, needs },
          signal,
        );
      },
    );
    return stored;
  } finally {
    await (machine as Machine | null)?.stop().catch(() => {});
    await rm(stateDir, { recursive: true, force: true });
  }
}

/** The modules of its kernel, for a guest that does not have them: its disk is its own, whatever image it is of. */
async function giveModules(
  agent: Agent,
  { subject, version, library }: { subject: string; version: string; library: string },
  onProgress: OnProgress,
): Promise<void> {
  const target = `/lib/modules/${version}`;
  const has = await agent.stat(`${target}/modules.dep`).then(
    () => true,
    () => false,
  );
  if (has) return;
  await phase(
    onProgress,
    { subject, phase: "modules", detail: ({ bytes }: { bytes: number }) => mib(bytes) },
    () => agent.treeIn(target, createReadStream(library, { highWaterMark: 2 ** 20 })),
  );
}

async function greetBooted(machine: Machine, signal: AbortSignal): Promise<Agent> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  machine.onEnd((end) =>
    failed.reject(new EngineError("build-failed", `the machine ended while it booted: ${end.kind}`)),
  );
  try {
    const agent = machine.agent({
      deadlineMs: BOOT_DEADLINE_MS,
      signal,
      guestIsBetweenFrames: true,
      identity: freshIdentity("thaw-build"),
    });
    agent.catch(() => {});
    return await Promise.race([agent, failed.promise]);
  } catch (error) {
    if (signal.aborted) throw new EngineError("cancelled", "the build was cancelled", { cause: error });
    const text = await machine.console().catch(() => "");
    throw new EngineError("build-failed", (error as Error).message, {
      details: text.trimEnd().split("\n").slice(-20),
      cause: error,
    });
  }
}
