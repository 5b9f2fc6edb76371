/** Inputs become a plan, or all their mistakes at once. Nothing is started here, and only files of the checkout are read. */

import { statSync } from "node:fs";
import { parseCapturePolicy } from "../api/capture-policy.ts";
import { defined } from "../api/defined.ts";
import { parseDuration } from "../api/duration.ts";
import { suggestNearest } from "../api/nearest.ts";
import { parseMemory } from "../api/size.ts";
import {
  type CapturePolicy,
  type CiContext,
  isTemplatePath,
  type RunSettings,
  readCiContext,
  readTemplate,
  workspacePath,
} from "../client/index.ts";
import { type CodeSource, readCodeSource } from "./fetch/source.ts";
import {
  type CaptureStore,
  parseChoice,
  parseCount,
  parseKeep,
  parseMatrix,
  parseNetwork,
  parseOutputNames,
  parsePatterns,
  parseRunner,
  parseSandbox,
  parseSource,
  parseStore,
  parseVariables,
  parseWords,
  quote,
} from "./fields.ts";
import { guestPath, resolveInside } from "./inside.ts";
import { findArtifactRefusal, isPublicRepository } from "./place.ts";
import { InputReader } from "./reader.ts";
import { checkShell, commandFor, titleOf } from "./script.ts";
import { findShippedTemplates } from "./shipped.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Until when a sandbox stays: the step's end, the job's, or its time to live. */
const COMMENT_POLICIES = ["preview", "failure", "never"] as const;
/** `preview`: where the preview is. `failure`: that, and a failed step's capture. */
export type CommentPolicy = (typeof COMMENT_POLICIES)[number];

export type Keep = "step" | "job" | "after";

/** What a step does. */
export interface StepPlan {
  /** For people. */
  title: string;
  argv: readonly string[];
  settings: RunSettings;
  /** The sandbox of an earlier step to continue in. */
  sandbox: string | undefined;
  /** The checkout: where what comes back goes. */
  folder: string;
  /** Rules as in .gitignore. */
  exclude: string | undefined;
  /** The code that the guest fetches; then no workspace is copied. */
  code: CodeSource | undefined;
  /** Values of the secret variables, by name. */
  secrets: Readonly<Record<string, string>>;
  /** Names that the guest may set. */
  outputs: readonly string[];
  /** The guest's file for them. */
  outputFile: string | undefined;
  /** Globs of files of /workspace. */
  artifacts: readonly string[];
  /** A file of this host. */
  patch: string | undefined;
  capture: CapturePolicy;
  captureStore: CaptureStore;
  captureTimeoutMs: number;
  /** How long a capture is kept at most; undefined: as its place says. */
  retentionMs: number | undefined;
  /** age recipients. */
  recipients: readonly string[];
  reruns: number;
  isolation: "kvm" | "any";
  keep: Keep;
  /** The port that the pull request's preview shows; undefined: no preview is made. */
  previewPort: number | undefined;
  /** The sandbox's time to live, which the step renews as long as there is somebody; undefined: it ends by other means. */
  leaseMs: number | undefined;
  /** What may be written to the pull request. */
  comment: CommentPolicy;
  ci: CiContext | undefined;
  /** The page of the workflow run's attempt. */
  runUrl: string | undefined;
}

const DEFAULT_QUEUE_MS = 600_000;
const DEFAULT_CAPTURE_TIMEOUT_MS = 120_000;
const HOUR_MS = 3_600_000;
/** What a step's sandbox that stays until files were read has left to live when nobody renews its lease any more. */
const LEASE_MS = 900_000;
/** Times to live where none was given. */
const DEFAULT_TTL_MS: Readonly<Record<Exclude<Keep, "step">, number>> = {
  job: 6 * HOUR_MS,
  after: 24 * HOUR_MS,
};

/** Inputs that contradict each other, or say nothing alone. */
function checkTogether(reader: InputReader, keep: Keep): void {
  if (!reader.has("run") && !reader.has("name"))
    reader.refuse("run", "missing: give the script to run, or a run's `name`");
  reader.exclude("template", ["snapshot"], "give only one of them");
  const made = [
    "template",
    "snapshot",
    "name",
    "runner",
    "cpus",
    "memory",
    "queue-timeout",
    "cache",
  ] as const;
  reader.exclude("sandbox", made, "it applies only to a new sandbox");
  reader.require("shell", ["run"]);
  if (reader.has("sandbox") && keep !== "step")
    reader.refuse("keep", "give it in the step that creates the sandbox");
  if (reader.has("ttl") && keep === "step") reader.refuse("ttl", "needs keep: job or keep: true");
}

/** The port of a preview that is asked for. */
function readPreview(reader: InputReader): number | undefined {
  const wanted = reader.read("preview", parseChoice(["true", "false"])) === "true";
  const port = reader.read("expose", parseCount(1, 65_535));
  if (!wanted) {
    if (reader.has("expose")) reader.refuse("expose", "needs preview: true");
    return undefined;
  }
  if (!reader.has("expose")) reader.refuse("expose", "missing: give the port that the preview shows");
  if (reader.has("sandbox"))
    reader.refuse("sandbox", "can't be used with preview: a preview has its own sandbox");
  if (reader.has("keep") && reader.read("keep", parseKeep) !== "after")
    reader.refuse("keep", "a preview always stays: remove keep, and give its time to live with ttl");
  return port;
}

/** What is kept of a failure, where and for whom. */
async function readCapture(reader: InputReader, env: Environment, project: CapturePolicy | undefined) {
  const capture = reader.read("capture", parseCapturePolicy) ?? project ?? "on-failure";
  const captureStore = reader.read("capture-store", parseStore) ?? { kind: "host" };
  const recipients =
    (await reader.readLater("encrypt-to", async (text) => {
      const { encryptTo } = await import("../client/index.ts");
      return (await encryptTo(parseWords(text)))?.recipients ?? [];
    })) ?? [];
  const reruns = reader.read("rerun-on-failure", parseCount(0, 1000)) ?? 0;
  if (capture === "never" && reruns > 0)
    reader.refuse("rerun-on-failure", "needs a capture, but capture is never");
  const leaves = captureStore.kind !== "host";
  if (!leaves && reader.has("encrypt-to"))
    reader.refuse(
      "encrypt-to",
      "needs capture-store: artifact or oci:…; captures on the host are not encrypted",
    );
  const refused = captureStore.kind === "artifact" ? findArtifactRefusal(env) : undefined;
  if (refused !== undefined) reader.refuse("capture-store", refused);
  if (leaves && !reader.has("encrypt-to") && isPublicRepository(env) !== false)
    reader.refuse(
      "capture-store",
      "a capture contains the machine's whole memory, and the repository is public, or the event does not say that it is private: give encrypt-to, or keep captures on the host",
    );
  const captureTimeoutMs = reader.read("capture-timeout", parseDuration) ?? DEFAULT_CAPTURE_TIMEOUT_MS;
  const retentionMs = reader.read("retention", (text) => parseDuration(text.trim()));
  if (captureStore.kind === "registry" && retentionMs !== undefined)
    reader.refuse("retention", "can't be used with a registry: set the retention in the registry");
  return { capture, captureStore, recipients, reruns, captureTimeoutMs, retentionMs };
}

function runUrlOf(env: Environment): string | undefined {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = env;
  if (!server || !repository || !run) return undefined;
  return `${server}/${repository}/actions/runs/${run}/attempts/${env.GITHUB_RUN_ATTEMPT || "1"}`;
}

/** Leaves out what is undefined. */
function given<T extends object>(settings: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}

/** What is thawed, and by which runner, where inputs say it. */
async function readSource(reader: InputReader, folder: string): Promise<RunSettings["source"]> {
  const snapshot = reader.read("snapshot", parseSource);
  const template = await reader.readLater("template", async (text) => {
    const template = parseSource(text);
    return readTemplate(isTemplatePath(template) ? resolveInside(folder, template) : template, {
      from: folder,
    });
  });
  const runner = reader.read("runner", parseRunner);
  const source = { ...template, ...defined({ snapshot, runner }) };
  return Object.keys(source).length > 0 ? source : undefined;
}

/** Names the shipped templates where there are other mistakes to tell; else the daemon says what it does not know. */
async function checkTemplate(reader: InputReader, source: RunSettings["source"]): Promise<void> {
  const name = source?.template;
  const shipped = await findShippedTemplates();
  if (name === undefined || shipped.length === 0 || shipped.includes(name)) return;
  const list = `the templates are ${shipped.join(", ")}`;
  reader.refuse("template", `there is no template ${name}; ${suggestNearest(name, shipped, list)}`);
}

/** The folder that goes in; undefined for none. */
function readWorkspace(reader: InputReader, folder: string): string | undefined {
  return reader.read("workspace", (text) => {
    if (/^(none|false)$/i.test(text.trim())) return undefined;
    const path = resolveInside(folder, text.trim());
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return path;
    throw new RangeError(`${quote(text)} is not a folder`);
  });
}

/** What inputs say of the run, and only that. */
async function readSettings(
  reader: InputReader,
  options: { env: Environment; folder: string; keep: Keep },
): Promise<{ settings: RunSettings; secrets: Record<string, string> }> {
  const { env, folder, keep } = options;
  const secrets = reader.read("secrets", (text) => parseVariables(text, env)) ?? {};
  const variables = reader.read("env", (text) => parseVariables(text, env)) ?? {};
  const settings = given<RunSettings>({
    source: await readSource(reader, folder),
    workspace: readWorkspace(reader, folder),
    workdir: reader.read("working-directory", (path) => guestPath(workspacePath, path.trim())),
    env: { CI: "true", ...variables, ...secrets },
    mask: Object.keys(secrets),
    network: reader.read("network", parseNetwork),
    cpus: reader.read("cpus", parseCount(1, 64)),
    memoryMib: reader.read("memory", (text) => parseMemory(text.trim())),
    timeoutMs: reader.read("timeout", (text) => parseDuration(text.trim())),
    waitMs: reader.read("queue-timeout", (text) => parseDuration(text.trim())),
    ttlMs:
      reader.read("ttl", (text) => parseDuration(text.trim())) ??
      (keep === "step" ? undefined : DEFAULT_TTL_MS[keep]),
  });
  return { settings, secrets };
}

interface Command {
  title: string;
  argv: readonly string[];
  settings: RunSettings;
}

/** A run of the project file with what the inputs say over it. */
async function planNamed(
  reader: InputReader,
  name: string,
  options: { folder: string; over: RunSettings; command: readonly string[] | undefined },
): Promise<Command | undefined> {
  const { folder, over, command } = options;
  const { loadProject, planProjectRun } = await import("../client/index.ts");
  return reader.readLater("name", async () => {
    const project = await loadProject({ from: folder });
    if (project === undefined) throw new RangeError(`there is no thaw.yaml in ${folder}`);
    // What thaw.yaml passes on comes from what the workflow allows, not from the runner's environment.
    const environment = { ...over.env };
    const { argv, settings } = await planProjectRun(project, name, {
      over,
      environment,
      ...defined({ command }),
    });
    const { runs, defaults } = project.content;
    const saysWorkspace = (runs[name]?.workspace ?? defaults.workspace) !== undefined;
    const workspace = saysWorkspace || reader.has("workspace") ? {} : { workspace: folder };
    return { title: name, argv, settings: { ...settings, ...workspace } };
  });
}

/** The code takes the place of the workspace, also of one that thaw.yaml names. */
function fetchInstead(settings: RunSettings): void {
  delete settings.workspace;
  settings.workdir ??= workspacePath;
}

/** Schemas are loaded by who has the input. */
async function readCache(
  reader: InputReader,
  env: Environment,
  code: CodeSource | undefined,
): Promise<RunSettings["cache"]> {
  if (!reader.has("cache")) return undefined;
  const { parseCache, scopesOf } = await import("./cache-input.ts");
  const cache = reader.read("cache", parseCache);
  return cache && { ...cache, ...scopesOf(env, code) };
}

/**
 * The plan of a step.
 * @param options random: makes the name of the guest's file for outputs one of its own
 * @throws InputMistakes
 */
export async function planStep(env: Environment, { random }: { random: string }): Promise<StepPlan> {
  const reader = new InputReader(env);
  const folder = env.GITHUB_WORKSPACE || process.cwd();
  const previewPort = readPreview(reader);
  const keep = reader.read("keep", parseKeep) ?? (previewPort === undefined ? "step" : "after");
  checkTogether(reader, keep);
  const { settings: over, secrets } = await readSettings(reader, { env, folder, keep });
  const outputs = reader.read("outputs", parseOutputNames) ?? [];
  const outputFile = outputs.length === 0 ? undefined : `/tmp/github-output-${random}`;
  if (outputFile !== undefined) over.env = { ...over.env, GITHUB_OUTPUT: outputFile };
  const shell = reader.read("shell", (text) => checkShell(text.trim()));
  const script = reader.read("run", (text) => text);
  const command = script === undefined ? undefined : commandFor(script, { shell, output: outputFile });
  const name = reader.read("name", (text) => text.trim());
  const sandbox = reader.read("sandbox", parseSandbox);
  const code = readCodeSource(reader, env);
  const planned =
    name === undefined
      ? { title: titleOf(script ?? ""), argv: command ?? [], settings: over }
      : await planNamed(reader, name, { folder, over, command });
  const settings: RunSettings = { waitMs: DEFAULT_QUEUE_MS, ...planned?.settings };
  // An earlier step has sent the checkout already.
  const sends = name === undefined && !reader.has("workspace") && sandbox === undefined;
  if (code !== undefined) fetchInstead(settings);
  else if (sends) settings.workspace = folder;
  const patch = reader.read("patch", (path) => resolveInside(folder, path.trim()));
  const artifacts = reader.read("artifacts", parsePatterns) ?? [];
  const cache = await readCache(reader, env, code);
  if (cache !== undefined) settings.cache = cache;
  const matrix = reader.read("matrix", parseMatrix);
  const captures = await readCapture(reader, env, settings.capture);
  const comment = reader.read("comment", parseChoice(COMMENT_POLICIES)) ?? "preview";
  if (reader.hasMistakes) await checkTemplate(reader, settings.source);
  const isolation = reader.read("isolation", parseChoice(["any", "kvm"] as const)) ?? "any";
  reader.finish();
  // What was fetched, and cached folders, are no part of what a failed script could be run again from.
  if ((code !== undefined || cache !== undefined) && captures.reruns > 0) settings.checkpoint = true;
  const reads = cache !== undefined || outputs.length > 0 || artifacts.length > 0 || patch !== undefined;
  const leaseMs = reads && sandbox === undefined && settings.ttlMs === undefined ? LEASE_MS : undefined;
  if (leaseMs !== undefined) settings.ttlMs = leaseMs;
  return {
    title: planned?.title ?? "",
    argv: planned?.argv ?? [],
    settings: { ...settings, capture: captures.capture },
    ...{
      sandbox,
      folder,
      secrets,
      outputs,
      outputFile,
      artifacts,
      patch,
      code,
      isolation,
      keep,
      previewPort,
      leaseMs,
      comment,
      ...captures,
    },
    exclude: reader.read("exclude", (text) => text),
    ci: readCiContext(env, matrix ? { matrix } : {}),
    runUrl: runUrlOf(env),
  };
}
