/** What a sandbox is thawed from: a template (built when absent), a recipe's text, or a snapshot; with other resources, a variant of it. */
import { join } from "node:path";
import type { z } from "zod";
import { CACHE_ROOM_MIB } from "../api/machine.ts";
import type { templateFiles } from "../api/template-files.ts";
import { sha256 } from "../durable/digest.ts";
import type { Runner } from "../runners/runner.ts";
import type { Runners } from "../runners/runners.ts";
import { needCapabilities } from "./capabilities.ts";
import { SingleFlight } from "./concurrency.ts";
import { defaultRunner, type RunnerChoice, refuseEmulation } from "./default-runner.ts";
import { EngineError } from "./errors.ts";
import { type OnProgress, type Progress, phase } from "./progress.ts";
import { isFrozenLive, type Manifest } from "./snapshots/manifest.ts";
import type { StoredSnapshot } from "./snapshots/store.ts";
import { buildFromDisk, buildTemplate, buildVariant } from "./templates/build.ts";
import type { BuildContext } from "./templates/build-chain.ts";
import { parseRecipe, type Recipe } from "./templates/recipe.ts";
import { findOutdated } from "./templates/refresh.ts";
import { shippedRecipe, shippedText } from "./templates/shipped.ts";

export interface SourceRequest {
  template?: string | undefined;
  recipe?: string | undefined;
  /** Files that the recipe places, by path. */
  files?: z.infer<typeof templateFiles> | undefined;
  snapshot?: string | undefined;
  /** Makes the machine. Absent: the recipe's; without one, the host's default. */
  runner?: string | undefined;
  /** A capture, to be replayed. */
  capture?: string | undefined;
  level?: "memory" | "disk" | undefined;
  exact?: boolean | undefined;
}
export interface ResolveOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
}
export interface BuildWishes {
  /** Builds again, and every step of it. */
  force?: boolean;
  /** Asks whether anything is outdated, and then builds that anew. */
  refresh?: boolean;
}
/** Part of a build's key: how a disk is divided. */
const DISK_FORM = `root, ${CACHE_ROOM_MIB}`;

export const DEFAULT_TEMPLATE = "base";

export class Sources {
  readonly #context: BuildContext;
  readonly #templatesDir: string;
  /** Part of a build's key: a new agent means new snapshots. */
  readonly #agentDigest: string;
  readonly #settings: () => RunnerChoice;
  readonly #builds = new SingleFlight<StoredSnapshot, Progress>();

  constructor(
    context: BuildContext,
    {
      templatesDir,
      agentDigest,
      settings,
    }: { templatesDir: string; agentDigest: string; settings: () => RunnerChoice },
  ) {
    this.#settings = settings;
    this.#context = context;
    this.#templatesDir = templatesDir;
    this.#agentDigest = agentDigest;
  }

  /** The text of a shipped recipe. Throws `not-found` with the nearest names. */
  recipeText(template: string): Promise<string> {
    return shippedText(this.#templatesDir, template);
  }

  async recipe(source: SourceRequest): Promise<Recipe> {
    const recipe =
      source.recipe === undefined
        ? await shippedRecipe(this.#templatesDir, source.template ?? DEFAULT_TEMPLATE)
        : parseRecipe(source.recipe, "template.yaml", source.files);
    const { runner } = this.#context;
    const asked = source.runner ?? recipe.runner;
    const { name } = runner.of(asked ?? (await defaultRunner(this.#settings(), runner)));
    // What another runner makes of the same recipe has a tag of its own.
    return {
      ...recipe,
      runner: name,
      ...(name === runner.names[0] ? {} : { tag: `${tagOf(recipe)}-${name}` }),
    };
  }

  /** The runner that a sandbox of this source has. Throws `usage` when another one was asked for. */
  async runnerOf(source: SourceRequest, capture: () => Promise<Pick<Manifest, "needs">>): Promise<Runner> {
    const found = await this.#runnerOf(source, capture);
    await refuseEmulation(this.#settings(), found);
    return found;
  }

  async #runnerOf(source: SourceRequest, capture: () => Promise<Pick<Manifest, "needs">>): Promise<Runner> {
    const { runner, store } = this.#context;
    if (source.snapshot === undefined && source.capture === undefined)
      return runner.of((await this.recipe(source)).runner ?? runner.name);
    const { needs } =
      source.capture === undefined ? (await store.get(source.snapshot ?? "")).manifest : await capture();
    if (source.runner !== undefined && source.runner !== needs.runner)
      throw new EngineError(
        "usage",
        `${source.snapshot ?? source.capture} was made by runner ${needs.runner}: runner ${source.runner} can't thaw it`,
        { hint: "leave --runner out" },
      );
    return runner.of(needs.runner);
  }

  /** The snapshot of a recipe when there is one that this host can thaw. */
  async built(recipe: Recipe): Promise<StoredSnapshot | null> {
    const key = this.#key(recipe);
    const all = await this.#context.store.list();
    // Anybody can write a build's key into a manifest: what came from elsewhere is only thawed by its own name.
    const candidates = all.filter(
      ({ manifest, imported }) => !imported && manifest.template?.buildKey === key,
    );
    candidates.sort((a, b) => b.manifest.createdAt.localeCompare(a.manifest.createdAt));
    for (const candidate of candidates)
      if ((await this.incompatible(candidate)).length === 0) return candidate;
    return null;
  }

  incompatible(snapshot: StoredSnapshot): Promise<string[]> {
    const { resources, needs } = snapshot.manifest;
    return this.#context.runner.incompatibilities({ dir: snapshot.dir, id: snapshot.id, resources, needs });
  }

  async build(
    recipe: Recipe,
    options: ResolveOptions & BuildWishes & { request?: string | undefined },
  ): Promise<StoredSnapshot> {
    await refuseEmulation(this.#settings(), this.#runners(recipe));
    const key = this.#key(recipe);
    const { runner } = this.#context;
    const egress = recipe.network.length > 0;
    needCapabilities(this.#runners(recipe), `build template ${recipe.name}`, { egress }, runner);
    const present = options.force && !options.refresh ? null : await this.built(recipe);
    const form = this.#runners(recipe).rootDisk;
    const outdated = options.refresh
      ? await findOutdated(this.#context.home, { recipe, present, form }, options)
      : { built: false, root: false };
    const force = options.force === true || outdated.built;
    if (present && !force) {
      await this.#context.store.tag(present.id, tagOf(recipe));
      return present;
    }
    const renew = outdated.root;
    return this.#builds.join(
      // What is built by the older index is not what a refresh asks for.
      outdated.built || renew ? `anew ${key}` : key,
      { onEvent: options.onProgress, signal: options.signal },
      async (onProgress, signal) => {
        const { request } = options;
        const host = this.#host(recipe);
        const context = { ...this.#context, runner: this.#runners(recipe) };
        const built = await buildTemplate(context, recipe, {
          ...{ key, host, onProgress, signal, request, force, renew },
        });
        await this.#context.store.tag(built.id, tagOf(recipe));
        return built;
      },
    );
  }

  async resolve(
    source: SourceRequest,
    options: ResolveOptions,
  ): Promise<{ snapshot: StoredSnapshot; from: string }> {
    if (source.snapshot !== undefined) {
      const found = await this.#context.store.get(source.snapshot);
      return { snapshot: await this.#resumable(found, options), from: source.snapshot };
    }
    const recipe = await this.recipe(source);
    return {
      snapshot: (await this.built(recipe)) ?? (await this.build(recipe, options)),
      from: tagOf(recipe),
    };
  }

  /** The snapshot itself when the resources are its own, else a variant, made on first use. */
  async withResources(
    snapshot: StoredSnapshot,
    wanted: { cpus?: number | undefined; memoryMib?: number | undefined },
    options: ResolveOptions,
  ): Promise<StoredSnapshot> {
    const own = snapshot.manifest.resources;
    const resources = {
      cpus: wanted.cpus ?? own.cpus,
      memoryMib: wanted.memoryMib ?? own.memoryMib,
      diskMib: own.diskMib,
    };
    if (resources.cpus === own.cpus && resources.memoryMib === own.memoryMib) return snapshot;
    const present = await this.#context.store.find(
      (manifest) =>
        manifest.variantOf === snapshot.id &&
        manifest.resources.cpus === resources.cpus &&
        manifest.resources.memoryMib === resources.memoryMib,
    );
    if (present && (await this.incompatible(present)).length === 0) return present;
    if (isFrozenLive(snapshot.manifest)) {
      throw new EngineError(
        "unsupported",
        `snapshot ${snapshot.id} was frozen from a sandbox: it keeps its ${own.cpus} cpus and ${own.memoryMib} MiB`,
        { hint: "leave --cpus and --memory out" },
      );
    }
    this.#needDisk(snapshot, "be booted with other resources");
    const key = `${snapshot.id} ${resources.cpus} ${resources.memoryMib}`;
    return this.#builds.join(
      key,
      { onEvent: options.onProgress, signal: options.signal },
      (onProgress, signal) => buildVariant(this.#context, snapshot, resources, { onProgress, signal }),
    );
  }

  /** Itself, or where its memory can't be resumed here, what becomes of its disk when that is booted: once per host. */
  async #resumable(snapshot: StoredSnapshot, options: ResolveOptions): Promise<StoredSnapshot> {
    const reasons = await this.incompatible(snapshot);
    if (reasons.length === 0) return snapshot;
    const { store } = this.#context;
    const known = await store.find(({ bootedFrom }) => bootedFrom === snapshot.id);
    if (known && (await this.incompatible(known)).length === 0) return known;
    this.#needDisk(snapshot, `be thawed here: ${reasons.join("; ")}; and its disk can't be booted`);
    const { resources, defaults, needs } = snapshot.manifest;
    const { dir, layers = [] } = await store.checkForThaw(snapshot);
    const disks = ["disk.qcow2", ...layers].map((name) => join(dir, name));
    return this.#builds.join(
      `booted ${snapshot.id}`,
      { onEvent: options.onProgress, signal: options.signal },
      async (onProgress, signal) => {
        const why = `its memory can't be resumed here, so its disk is booted: ${reasons.join("; ")}`;
        await phase(
          onProgress,
          { subject: snapshot.id, phase: "boot its disk", detail: () => why },
          async () => {},
        );
        const of = { bootedFrom: snapshot.id, disks, resources, defaults, needs };
        return buildFromDisk(this.#context, of, { onProgress, signal });
      },
    );
  }

  #key(recipe: Recipe): string {
    const {
      description: _description,
      tag: _tag,
      sandboxes: _sandboxes,
      runner: _runner,
      ...others
    } = recipe;
    const { sent, ...rest } = others;
    const matters = { ...rest, sent: sent.map(({ data: _data, ...file }) => file) };
    return sha256(JSON.stringify([matters, ...this.#host(recipe)])).slice(0, 16);
  }

  /** What makes machines here: machines that another version made are made again. */
  #host(recipe: Recipe): string[] {
    return [this.#agentDigest, this.#runners(recipe).name, DISK_FORM];
  }

  #runners({ runner }: Recipe): Runners {
    return runner === undefined ? this.#context.runner : this.#context.runner.choose(runner);
  }

  /** Throws `unsupported` when the snapshot is of a runner whose disks do not have all that was written. */
  #needDisk({ id, manifest: { needs } }: StoredSnapshot, what: string): void {
    const { runner } = this.#context;
    if (runner.names.includes(needs.runner) && runner.of(needs.runner).capabilities.ownDisk) return;
    throw new EngineError("unsupported", `snapshot ${id} of runner ${needs.runner} can't ${what}`, {
      hint: "set cpus and memory in the template's resources, or use another runner (--runner)",
    });
  }
}

export function tagOf(recipe: Recipe): string {
  return recipe.tag ?? recipe.name;
}
