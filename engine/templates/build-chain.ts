/**
 * A template with setup: its machine is booted, frozen and kept; each step runs in a machine that is thawed from the step before, and what
 * became of that is kept as well. So a build starts at the first step that changed, and a step finds the same machine whether the one
 * before it ran just now or long ago. The snapshot itself is made of the last.
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { randomId } from "../ids.ts";
import type { Packages } from "../packages/installed.ts";
import { type OnProgress, phase } from "../progress.ts";
import type { Roots } from "../rootfs/roots.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { type BootPlan, bootAndFreeze } from "./boot.ts";
import { type BuildMachine, inMachineOf, warmUp } from "./build-machine.ts";
import type { Link } from "./chain.ts";
import type { Downloads } from "./downloads.ts";
import { placeFiles } from "./place.ts";
import { type About, type BuildOptions, freezing, publishBuilt } from "./publish.ts";
import type { Recipe } from "./recipe.ts";
import { setUp } from "./set-up.ts";
import { draftIn, type OpenedStep, type Steps } from "./steps.ts";

export interface BuildContext extends LiveContext {
  steps: Steps;
  downloads: Downloads;
  roots: Roots;
}

export interface ChainPlan {
  recipe: Recipe;
  /** The links in order; the first one is the booted machine. */
  chain: readonly Link[];
  about: About;
  /** The machine that the first link boots. */
  plan: Pick<BootPlan<unknown>, "subject" | "resources" | "kernel" | "disks">;
}

export async function buildChain(
  context: BuildContext,
  plan: ChainPlan,
  options: BuildOptions,
): Promise<StoredSnapshot> {
  const { steps, runner } = context;
  const chain = new Chain(context, plan, options.force === true);
  const last = plan.chain.length - 1;
  const keeps = await chain.keepsSteps(options);
  using from = await chain.reach(keeps ? last : 0, options);
  const rest = keeps ? [] : plan.chain.slice(1);
  const built = await chain.finish(from, rest, options);
  runner.forget(from.files.id);
  await steps.used(plan.chain.map(({ key }) => key));
  await steps.prune({ dryRun: false });
  return built;
}

class Chain {
  readonly #context: BuildContext;
  readonly #plan: ChainPlan;
  readonly #force: boolean;

  constructor(context: BuildContext, plan: ChainPlan, force: boolean) {
    this.#context = context;
    this.#plan = plan;
    this.#force = force;
  }

  /** Tells whether this host can keep machines as differences. If that is unknown, it is tried with the booted machine. */
  async keepsSteps(options: BuildOptions): Promise<boolean> {
    const { home, runner } = this.#context;
    let verdict = await runner.difference();
    if (verdict.state === "unproven") {
      using boot = await this.reach(0, options);
      const id = `build-${randomId()}`;
      const stateDir = join(home.builds, id);
      await mkdir(stateDir, { recursive: true, mode: 0o711 });
      try {
        verdict = await runner.difference({ snapshot: boot.files, place: { id, stateDir } }, options.signal);
      } finally {
        await rm(stateDir, { recursive: true, force: true });
      }
    }
    if (verdict.state === "works") return true;
    const detail = `not kept, so the next build runs them again: ${verdict.reason}`;
    options.onProgress({ ...this.#progress("steps"), state: "done", elapsedMs: 0, detail });
    return false;
  }

  /** Opens the machine after the `index`th link. If no earlier build kept it, it is made now. */
  async reach(
    index: number,
    { onProgress, signal }: Pick<BuildOptions, "onProgress" | "signal">,
  ): Promise<OpenedStep> {
    const { steps } = this.#context;
    const link = this.#plan.chain[index] as Link;
    const kept = this.#force ? null : await steps.open(link.key);
    if (kept) {
      this.#tellCached(index, onProgress);
      return kept;
    }
    // A build that makes all steps again must not be given those that another build has found.
    await steps.making.join(
      `${this.#force ? "again " : ""}${link.key}`,
      { onEvent: onProgress, signal },
      (onProgress, signal) => this.#make(index, link, { onProgress, signal }),
    );
    const made = await steps.open(link.key);
    if (made) return made;
    throw new Error(`step ${link.name} was made and can't be thawed here`);
  }

  async #make(
    index: number,
    link: Link,
    options: { onProgress: OnProgress; signal: AbortSignal },
  ): Promise<void> {
    const { steps, needDisk } = this.#context;
    const { recipe } = this.#plan;
    const about = { key: link.key, template: recipe.name, name: link.name };
    if (link.work === "boot") {
      const { plan } = this.#plan;
      await bootAndFreeze(
        this.#context,
        {
          ...plan,
          prepare: (agent) => agent.quiesce(),
          freeze: { subject: plan.subject, phase: "keep" },
          publish: (draft, made) => steps.publishBoot(draft, { ...about, ...made }, options.signal),
        },
        options,
      );
      return;
    }
    using from = await this.reach(index - 1, options);
    await needDisk();
    const { resources, needs } = from.step;
    await inMachineOf(this.#context, from, options.signal, async (inside) => {
      await this.#work(link, inside, options.onProgress);
      inside.agent.close();
      const draft = await draftIn(inside.stateDir);
      const difference = await this.#context.admission.withHelper(() =>
        inside.machine.takeDifference(draft, { signal: inside.signal }),
      );
      const how = { from, difference, signal: inside.signal };
      await steps.publishDifference(draft, { ...about, resources, needs }, how);
    });
  }

  /** Runs the steps that were not kept, warms the machine up and freezes it. @param rest the steps that were not kept */
  finish(from: OpenedStep, rest: readonly Link[], options: BuildOptions): Promise<StoredSnapshot> {
    const { recipe, about } = this.#plan;
    return inMachineOf(this.#context, from, options.signal, async (inside) => {
      const { agent, signal } = inside;
      for (const link of rest) await this.#work(link, inside, options.onProgress);
      const packages = await phase(options.onProgress, { subject: recipe.name, phase: "warm" }, () =>
        warmUp(agent, about, signal),
      );
      agent.close();
      return phase(options.onProgress, freezing(recipe.name), () =>
        this.#freeze(from, { inside, packages }, options),
      );
    });
  }

  async #freeze(
    from: OpenedStep,
    { inside, packages }: { inside: BuildMachine; packages: Packages | null },
    options: BuildOptions,
  ): Promise<StoredSnapshot> {
    const { home, runner, store, admission, needDisk } = this.#context;
    const { machine, signal } = inside;
    const { resources, needs } = from.step;
    const { recipe, about, chain } = this.#plan;
    const id = `build-${randomId()}`;
    const stateDir = join(home.builds, id);
    const draft = join(stateDir, "snapshot");
    await mkdir(draft, { recursive: true });
    try {
      const size = { name: `template ${recipe.name}`, memoryMib: resources.memoryMib };
      const { layers, build } = await admission.withSecond(size, () =>
        machine.freezeLive({ id, stateDir, dir: draft }, signal),
      );
      // Without this, every clone would have to open each layer.
      const disks = ["disk.qcow2", ...layers].map((name) => join(draft, name));
      const disk = join(stateDir, "disk.qcow2");
      await runner.flattenDisk(disks, disk, resources.diskMib, { room: (bytes) => needDisk(bytes), signal });
      for (const layer of disks) await rm(layer);
      await rename(disk, join(draft, "disk.qcow2"));
      const steps = chain.map(({ key }) => key);
      const made = { ...about, resources, needs: { ...needs, build }, steps, packages };
      return await publishBuilt(store, draft, made, { ...options, signal });
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  }

  async #work({ work }: Link, { agent, signal }: BuildMachine, onProgress: OnProgress): Promise<void> {
    const { hostNetwork: host, downloads } = this.#context;
    const { recipe } = this.#plan;
    if (work === "place") {
      const allow = recipe.network;
      return placeFiles(agent, recipe, (one) => downloads.get(one, { allow, signal }), {
        onProgress,
        signal,
      });
    }
    if (work !== "boot") await setUp(agent, recipe, work, { host, onProgress, signal });
  }

  #tellCached(last: number, onProgress: OnProgress): void {
    for (const { name } of this.#plan.chain.slice(1, last + 1))
      onProgress({ ...this.#progress(name), state: "done", elapsedMs: 0, detail: "cached" });
  }

  #progress(name: string): { type: "progress"; subject: string; phase: string } {
    return { type: "progress", subject: this.#plan.recipe.name, phase: name };
  }
}
