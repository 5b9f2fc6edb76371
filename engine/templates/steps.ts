/**
 * Steps of templates, as a host keeps them: machines as they were after a step of their setup. The booted machine is kept whole, each later one
 * as its difference to that. A step is a folder that one rename publishes and nothing changes after. Making one again makes another folder, so
 * what is thawed from the old one goes on.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { machineNeeds, recordedResources } from "../../api/machine.ts";
import { digest } from "../../api/text.ts";
import { layerNames } from "../../api/travel.ts";
import { sha256File } from "../../durable/digest.ts";
import { publish } from "../../durable/publish.ts";
import type { Difference, DifferenceFiles, Runner, SnapshotFiles } from "../../runners/runner.ts";
import { Gate, SingleFlight } from "../concurrency.ts";
import type { Config } from "../config.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import type { Progress } from "../progress.ts";
import { completeEntries } from "../state/entries.ts";
import { readRecord, recordKind, valueOrNull } from "../state/record.ts";
import { bytesOfSteps, chooseSteps, type KeptStep, type StepRemoval } from "./choose-steps.ts";

/** The record's modification time is the time when a build last used the step. */
const RECORD_FILE = "step.json";
/** Younger steps are not pruned: a build that is under way, or about to be repeated, needs them. */
const YOUNG_MS = 60_000;

/** Stands for all templates: no template has this name. */
export const ANY = "";

const stepPart = z.strictObject({
  name: z.enum(["memory", "disk.qcow2", "pages", "devices", ...layerNames]),
  sizeBytes: z.int().min(0),
  sha256: digest,
});
const stepRecord = z.strictObject({
  schema: z.literal(1),
  id: z.string(),
  key: z.string(),
  /** The template that it was made for; others may use it. */
  template: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime(),
  /** Id of the step with the booted machine that this step is a difference to. null: this step is a booted machine. */
  boot: z.string().nullable(),
  /** The QEMU build (or another runner's) that took the difference. */
  build: z.string().nullable(),
  resources: recordedResources,
  needs: machineNeeds,
  parts: z.array(stepPart),
});
const stepKind = recordKind("template step", stepRecord);
type StepRecord = z.infer<typeof stepRecord>;
type StepPart = z.infer<typeof stepPart>;

export interface Step extends StepRecord {
  dir: string;
  usedAtMs: number;
}

/** A kept step as it is listed. */
export interface StepReport {
  step: Step;
  /** On the disk. A file that several steps share is counted with the oldest of them. */
  bytes: number;
  /** What `prune` would free with it, and why; null: it stays. */
  removal: StepRemoval | null;
}

/** A step to thaw from. Its files are there until this is disposed of. */
export interface OpenedStep extends Disposable {
  step: Step;
  files: SnapshotFiles;
  difference: DifferenceFiles | undefined;
}

export interface StepsContext {
  home: Pick<Home, "steps">;
  runner: Pick<Runner, "incompatibilities" | "forget">;
  budget(): Config["steps"];
  /** Keys of the steps that snapshots were made of, except the snapshots in `without`. */
  neededBy(without: ReadonlySet<string>): Promise<ReadonlySet<string>>;
}

export type NewStep = Pick<StepRecord, "key" | "template" | "name" | "resources" | "needs">;

export class Steps {
  /** Each step is made once, for all builds that need it. */
  readonly making = new SingleFlight<void, Progress>();
  readonly #context: StepsContext;
  /** Ids of the open steps; a step that is opened twice is in the list twice. */
  readonly #open: string[] = [];
  /** Removals and reports run one after the other. */
  readonly #changing = new Gate(1);

  constructor(context: StepsContext) {
    this.#context = context;
  }

  /** Lists the kept steps. A step whose record can't be read is left out. */
  async list(): Promise<Step[]> {
    const ids = await completeEntries(this.#context.home.steps);
    return (await Promise.all(ids.map((id) => this.#read(id)))).filter((step) => step !== null);
  }

  /** Opens the newest step with this key whose files have the right sizes and that this host can thaw; null when there is none. */
  async open(key: string): Promise<OpenedStep | null> {
    const all = await this.list();
    const made = all
      .filter((step) => step.key === key)
      .toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    for (const step of made) {
      const boot = step.boot === null ? step : all.find(({ id }) => id === step.boot);
      if (boot === undefined) continue;
      const opened = this.#hold(step, boot);
      if (await this.#isUsable(opened, boot)) return opened;
      opened[Symbol.dispose]();
    }
    return null;
  }

  /** Notes that a build has used the steps with these keys, so that they stay longer. */
  async used(keys: readonly string[]): Promise<void> {
    const all = await this.list();
    const steps = all.filter(({ key }) => keys.includes(key));
    const ids = new Set(steps.flatMap(({ id, boot }) => [id, boot ?? id]));
    const now = new Date();
    await Promise.all([...ids].map((id) => utimes(this.#path(id, RECORD_FILE), now, now).catch(() => {})));
  }

  /** Publishes the folder `draft` with the memory, devices and disk of a booted machine. */
  async publishBoot(draft: string, about: NewStep, signal: AbortSignal): Promise<void> {
    const parts = await describe(draft, ["memory", "devices", "disk.qcow2"], [], signal);
    await this.#publish(draft, { ...about, boot: null, build: null, parts });
  }

  /** Publishes the folder `draft` with a difference that was taken of a machine of `from`. */
  async publishDifference(
    draft: string,
    about: NewStep,
    { from, difference, signal }: { from: OpenedStep; difference: Difference; signal: AbortSignal },
  ): Promise<void> {
    const names = ["pages", "devices", ...difference.layers].map((name) => stepPart.shape.name.parse(name));
    // Layers below the newest are the same files, under the same names, as far as the chain was not flattened.
    const known =
      from.difference === undefined ? [] : from.step.parts.map((part) => ({ ...part, dir: from.step.dir }));
    const parts = await describe(draft, names, known, signal);
    const boot = from.step.boot ?? from.step.id;
    await this.#publish(draft, { ...about, boot, build: difference.build, parts });
  }

  /**
   * Removes what is over the limits. @returns what went, or with `dryRun` would go
   * @param of also steps that no built template needs: of this template, or of any that are not young
   * @param without snapshots that go, or are gone
   */
  prune({
    dryRun,
    of = null,
    without = new Set(),
  }: {
    dryRun: boolean;
    of?: string | null;
    without?: ReadonlySet<string>;
  }): Promise<StepRemoval[]> {
    return this.#changing.run(async () => {
      const { removals } = await this.#choose(of, without);
      if (!dryRun) for (const { id } of removals) await this.remove(id);
      return removals;
    });
  }

  /** Every kept step with its size, and whether `prune` would remove it now. */
  report(): Promise<StepReport[]> {
    return this.#changing.run(async () => {
      const { kept, removals } = await this.#choose(ANY, new Set());
      const bytes = bytesOfSteps(kept);
      return kept.map((step) => ({
        ...{ step, bytes: bytes.get(step.id) ?? 0 },
        removal: removals.find(({ id }) => id === step.id) ?? null,
      }));
    });
  }

  async #choose(
    of: string | null,
    without: ReadonlySet<string>,
  ): Promise<{ kept: (Step & KeptStep)[]; removals: StepRemoval[] }> {
    const { maxBytes, maxAge } = this.#context.budget();
    const all = await this.list();
    const needed = new Set(await this.#context.neededBy(without));
    const others = all.filter(({ template }) => of !== null && of !== ANY && template !== of);
    for (const { key } of others) needed.add(key);
    const kept = await Promise.all(
      all.map(async (step) => ({
        ...step,
        open: this.#open.includes(step.id),
        files: await filesOf(step),
      })),
    );
    const removals = chooseSteps(kept, {
      ...{ maxBytes: maxBytes * 2 ** 20, maxAgeMs: maxAge, nowMs: Date.now(), needed },
      unneededAfterMs: of === null ? null : of === ANY ? YOUNG_MS : -1,
    });
    return { kept, removals };
  }

  /** Hides the step with one rename, then removes its files. */
  async remove(id: string): Promise<void> {
    const grave = join(this.#context.home.steps, `.${randomId()}`);
    await rename(join(this.#context.home.steps, id), grave);
    await rm(grave, { recursive: true, force: true });
  }

  #hold(step: Step, boot: Step): OpenedStep {
    const ids = [step.id, boot.id];
    this.#open.push(...ids);
    const { dir, resources, needs } = boot;
    const layers = step.parts.map(({ name }) => name).filter((name) => name.startsWith("layer-"));
    const difference =
      step === boot ? undefined : { dir: step.dir, id: `step-${step.id}`, layers, build: step.build ?? "" };
    return {
      ...{ step, difference },
      files: { dir, id: `step-${boot.id}`, resources, needs },
      [Symbol.dispose]: () => {
        for (const id of ids) this.#open.splice(this.#open.indexOf(id), 1);
        if (difference && !this.#open.includes(step.id)) this.#context.runner.forget(difference.id);
      },
    };
  }

  async #isUsable({ step, files, difference }: OpenedStep, boot: Step): Promise<boolean> {
    const whole = await Promise.all([...new Set([step, boot])].map(isWhole));
    if (whole.includes(false)) return false;
    return (await this.#context.runner.incompatibilities(files, difference)).length === 0;
  }

  async #publish(draft: string, about: Omit<StepRecord, "schema" | "id" | "createdAt">): Promise<void> {
    const id = randomBytes(8).toString("hex");
    const createdAt = new Date().toISOString();
    const record = stepRecord.parse({ schema: 1, id, ...about, createdAt });
    await publish({
      ...{ draft, target: join(this.#context.home.steps, id), mode: 0o711 },
      manifest: { name: RECORD_FILE, text: `${JSON.stringify(record)}\n` },
    });
  }

  #path(...names: string[]): string {
    return join(this.#context.home.steps, ...names);
  }

  async #read(id: string): Promise<Step | null> {
    const path = this.#path(id, RECORD_FILE);
    const [read, found] = await Promise.all([readRecord(path, stepKind), stat(path).catch(() => null)]);
    const record = valueOrNull(read);
    if (record === null || found === null || record.id !== id) return null;
    return { ...record, dir: this.#path(id), usedAtMs: found.mtimeMs };
  }
}

/** Makes the folder of an unfinished step, on the same disk. After a crash, the next start removes it. */
export async function draftIn(stateDir: string): Promise<string> {
  const draft = join(stateDir, "step");
  await mkdir(draft, { recursive: true, mode: 0o711 });
  return draft;
}

/** Checks the sizes of all files, and the digest of the device state. */
async function isWhole({ dir, parts }: Step): Promise<boolean> {
  const sound = await Promise.all(
    parts.map(async ({ name, sizeBytes, sha256 }) => {
      const found = await stat(join(dir, name)).catch(() => null);
      if (found?.size !== sizeBytes) return false;
      return name !== "devices" || (await sha256File(join(dir, name))) === sha256;
    }),
  );
  return !sound.includes(false);
}

async function filesOf({ dir, parts }: Step): Promise<{ inode: string; bytes: number }[]> {
  const found = await Promise.all(parts.map(({ name }) => stat(join(dir, name)).catch(() => null)));
  return found.flatMap((one) =>
    one === null ? [] : [{ inode: `${one.dev}:${one.ino}`, bytes: one.blocks * 512 }],
  );
}

async function describe(
  dir: string,
  names: readonly StepPart["name"][],
  known: readonly (StepPart & { dir: string })[],
  signal: AbortSignal,
): Promise<StepPart[]> {
  const parts: StepPart[] = [];
  for (const name of names) {
    const path = join(dir, name);
    const found = await stat(path);
    const same = known.find((part) => part.name === name);
    const before = same && (await stat(join(same.dir, name)).catch(() => null));
    const isSame = before?.ino === found.ino && before.dev === found.dev;
    const sha256 = isSame && same ? same.sha256 : await sha256File(path, signal);
    parts.push({ name, sizeBytes: found.size, sha256 });
  }
  return parts;
}
