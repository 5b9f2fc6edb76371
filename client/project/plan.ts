import { resolve } from "node:path";
import { suggestNearest } from "../../api/nearest.ts";
import type { TemplateFiles } from "../../api/schema.ts";
import { ThawError } from "../errors.ts";
import { overrideSettings, type RunSettings } from "../run-settings.ts";
import { readTemplateFiles } from "../template-files.ts";
import { nameFile, type Project, readBounded } from "./load.ts";
import { templateFile } from "./paths.ts";
import type { ProjectFile, RunDefinition } from "./schema.ts";
import { isTemplatePath } from "./template-path.ts";

/** A named run, ready to be asked for. */
export interface RunPlan {
  name: string;
  argv: string[];
  settings: RunSettings;
}

const MAX_RECIPE_BYTES = 262_144;

/** The command as a program and its arguments. */
export function commandOf(run: RunDefinition): string[] | undefined {
  return typeof run.command === "string" ? ["sh", "-e", "-c", run.command] : run.command;
}

async function readRecipe(file: string): Promise<{ recipe: string; files?: TemplateFiles }> {
  const path = templateFile(file);
  const recipe = await readBounded(path, { maxBytes: MAX_RECIPE_BYTES, hint: "thaw project check" });
  return { recipe, ...(await readTemplateFiles(recipe, path)) };
}

/** A template by its name in the project, as its text; undefined when the project has none of that name. */
export async function findProjectTemplate(
  project: Project,
  name: string,
): Promise<{ recipe: string; files?: TemplateFiles } | undefined> {
  const { templates } = project.content;
  const path = Object.hasOwn(templates, name) ? templates[name] : undefined;
  return path === undefined ? undefined : readRecipe(resolve(project.folder, path));
}

/** What is thawed. The daemon never opens a file: a template of the repository is sent as its text. */
async function readSource(project: Project, run: ProjectFile["defaults"]): Promise<RunSettings["source"]> {
  if (run.snapshot !== undefined) return { snapshot: run.snapshot };
  if (run.template === undefined) return undefined;
  if (isTemplatePath(run.template)) return readRecipe(resolve(project.folder, run.template));
  return (await findProjectTemplate(project, run.template)) ?? { template: run.template };
}

/** What to thaw, and by which runner: each as it was asked for (`over`), else as the file says. */
async function sourceOf(
  project: Project,
  run: RunDefinition,
  { runner = run.runner, ...named }: NonNullable<RunSettings["source"]> = {},
): Promise<RunSettings["source"]> {
  const source = Object.keys(named).length > 0 ? named : await readSource(project, run);
  return runner === undefined ? source : { ...source, runner };
}

/** The caller's own values of the variables that are passed on. */
function passed(names: readonly string[], environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

/** A run's own keys over the defaults'. A source of its own replaces the other kind as well. */
function withDefaults(defaults: ProjectFile["defaults"], run: RunDefinition): RunDefinition {
  const { template: _template, snapshot: _snapshot, ...others } = defaults;
  const base = run.template === undefined && run.snapshot === undefined ? defaults : others;
  return {
    ...base,
    ...run,
    env: { ...defaults.env, ...run.env },
    labels: { ...defaults.labels, ...run.labels },
    pass: [...(defaults.pass ?? []), ...(run.pass ?? [])],
    mask: [...(defaults.mask ?? []), ...(run.mask ?? [])],
  };
}

/** `none`, `open` and `audit` alone, or with rules. */
function networkOf(network: RunDefinition["network"]): RunSettings["network"] {
  if (network === undefined) return undefined;
  const layer = typeof network === "string" ? { mode: network } : network;
  return [{ ...layer, from: "thaw.yaml" }];
}

/** Leaves out what is undefined. */
function given<T extends object>(settings: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}

function findRun(project: Project, name: string): RunDefinition {
  const { runs } = project.content;
  const run = Object.hasOwn(runs, name) ? runs[name] : undefined;
  if (run !== undefined) return run;
  const otherwise = `thaw run --list; put a command after --, as in: thaw run -- ${name}`;
  const hint = suggestNearest(name, Object.keys(runs), otherwise);
  throw new ThawError("not-found", `${nameFile(project.file)} has no run ${name}`, { hint });
}

/**
 * The plan of a named run. `command` replaces the run's own, `over` (a command line's flags, a workflow's inputs) what the file says.
 * @throws ThawError `not-found` with the nearest names; `usage` without a command.
 */
export async function planProjectRun(
  project: Project,
  name: string,
  options: { command?: readonly string[]; over?: RunSettings; environment?: NodeJS.ProcessEnv } = {},
): Promise<RunPlan> {
  const { command, over = {}, environment = process.env } = options;
  const run = withDefaults(project.content.defaults, findRun(project, name));
  const argv = command ?? commandOf(run);
  if (argv === undefined) {
    throw new ThawError("usage", `the run ${name} has no command`, { hint: `thaw run ${name} -- COMMAND` });
  }
  const env = { ...run.env, ...passed([...(run.pass ?? []), ...(run.mask ?? [])], environment) };
  const mask = run.mask?.filter((name) => name in env || name in (over.env ?? {})) ?? [];
  const source = await sourceOf(project, run, over.source);
  const settings = given<RunSettings>({
    name: run.name,
    labels: run.labels,
    network: networkOf(run.network),
    cpus: run.cpus,
    memoryMib: run.memory,
    ttlMs: run.ttl,
    idleMs: run.idle,
    stopAfterMs: run.stopAfter,
    removeAfterMs: run.removeAfter,
    waitMs: run.wait,
    env,
    mask: mask.length === 0 ? undefined : mask,
    workdir: run.workdir,
    user: run.user,
    timeoutMs: run.timeout,
    workspace: typeof run.workspace === "string" ? resolve(project.folder, run.workspace) : undefined,
    ignore: run.ignore,
    keep: run.keep,
    capture: run.capture,
    checkpoint: run.checkpoint,
  });
  return { name, argv: [...argv], settings: given({ ...overrideSettings(settings, over), source }) };
}
