/**
 * One job of a workflow on a self-hosted runner whose steps are all one action: StepsRunner.cs, ActionRunner.cs and JobExtension.cs. The
 * action lies in a read-only folder of its own that is deleted when the job is over, and what carries the job's tracking id is killed.
 */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "./commands.ts";
import {
  type Event,
  type Folders,
  findNode,
  githubContext,
  type JobSecrets,
  makeSecrets,
  runnerEnvironment,
  serviceEnvironment,
} from "./environment.ts";
import { CommandFiles, type FileCommands } from "./file-commands.ts";
import { type ActionManifest, type Contexts, evaluate, inputEnvironment, readManifest } from "./inputs.ts";
import { ActionProcess, type ProcessResult } from "./process.ts";

export interface JobOptions {
  /** A folder with action.yml and what it names; it is copied. */
  action: string;
  /** The payload of the event that the job runs for, as a file; a push without one. */
  event?: string | undefined;
  eventName?: string | undefined;
  /** The folder of the checkout; without one a small repository is made. */
  workspace?: string | undefined;
  /** Of the job, over what a runner sets. */
  env?: Record<string, string> | undefined;
  matrix?: Record<string, unknown> | undefined;
}

export interface StepOptions {
  id?: string | undefined;
  with?: Record<string, string> | undefined;
  env?: Record<string, string> | undefined;
  onLine?: ((line: string) => void) | undefined;
}

export interface StepResult extends ProcessResult, FileCommands {
  conclusion: "success" | "failure" | "cancelled";
  honoured: Command[];
  fenced: Command[];
  /** Whether the step ended behind its own fence. */
  leftStopped: boolean;
  warnings: string[];
}

export interface JobEnd {
  /** The post steps, the last step's first. */
  posts: StepResult[];
  /** Processes that the runner killed, by name. */
  orphans: string[];
  /** Files of the action that are not as they were. */
  changed: string[];
}

interface Running {
  id: string;
  options: StepOptions;
  state: Record<string, string>;
}

/** A step in the middle. */
export class RunningStep {
  readonly result: Promise<StepResult>;
  readonly process: ActionProcess;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(
    start: (onLine: (line: string) => void) => ActionProcess,
    finish: (step: ActionProcess) => Promise<StepResult>,
  ) {
    this.process = start((line) => {
      this.#lines.push(line);
      if (this.#lines.length > 10_000) this.#lines.splice(0, 5000);
      for (const look of this.#waiting) look();
    });
    this.result = finish(this.process);
    this.result.catch(() => {});
  }

  /** Waits for a line of the log. @throws Error when the step ends without it */
  async line(pattern: RegExp): Promise<string> {
    const find = (): string | undefined => this.#lines.find((line) => pattern.test(line));
    const { promise, resolve } = Promise.withResolvers<string>();
    const look = (): void => {
      const found = find();
      if (found !== undefined) resolve(found);
    };
    this.#waiting.add(look);
    look();
    try {
      const ended = this.result.then(({ log }) => {
        const found = find();
        if (found === undefined) throw new Error(`no line ${pattern} in:\n${log.slice(-40).join("\n")}`);
        return found;
      });
      return await Promise.race([promise, ended]);
    } finally {
      this.#waiting.delete(look);
    }
  }
}

export class Job implements AsyncDisposable {
  readonly folders: Folders;
  readonly secrets: JobSecrets = makeSecrets();
  readonly trackingId = `github_${randomUUID()}`;
  readonly manifest: ActionManifest;
  readonly #root: string;
  readonly #action: string;
  readonly #before: Set<string>;
  readonly #files: Map<string, string>;
  readonly #env: Record<string, string>;
  readonly #contexts: Contexts;
  readonly #steps: Record<string, { outputs: Record<string, string>; outcome: string }> = {};
  readonly #posts: Running[] = [];
  readonly #global: { env: Record<string, string>; path: string[] } = { env: {}, path: [] };

  constructor(options: JobOptions) {
    this.#root = mkdtempSync(join(tmpdir(), "thaw-runner-"));
    const work = join(this.#root, "_work", "shop");
    this.folders = {
      work,
      temp: join(this.#root, "_work", "_temp"),
      tools: join(this.#root, "_work", "_tool"),
      workspace: options.workspace ?? join(work, "shop"),
    };
    for (const folder of Object.values(this.folders)) mkdirSync(folder, { recursive: true });
    if (options.workspace === undefined) makeRepository(this.folders.workspace);
    this.#action = join(this.#root, "_work", "_actions", "thaw-ci", "thaw", "v1");
    cpSync(options.action, this.#action, { recursive: true, preserveTimestamps: true });
    execFileSync("chmod", ["-R", "a-w", this.#action]);
    this.#files = listFiles(this.#action);
    this.manifest = readManifest(this.#action);
    this.#before = new Set(listProcesses());
    const github = githubContext(this.folders, this.#writeEvent(options));
    const fromGithub = Object.entries(github).map(([name, value]) => [`GITHUB_${name.toUpperCase()}`, value]);
    this.#env = {
      ...serviceEnvironment(this.trackingId),
      ...Object.fromEntries(fromGithub),
      ...runnerEnvironment(this.folders, this.secrets),
      ...options.env,
    };
    this.#contexts = {
      github: { ...github, token: this.secrets.githubToken },
      matrix: options.matrix ?? null,
      strategy: { "job-index": 0, "job-total": 1, "fail-fast": true, "max-parallel": 1 },
      job: { status: "success" },
      runner: { os: "Linux", arch: "X64", temp: this.folders.temp },
      steps: this.#steps,
    };
  }

  #writeEvent({ event, eventName }: JobOptions): Event {
    const folder = join(this.folders.temp, "_github_workflow");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, "event.json");
    const payload =
      event === undefined
        ? { repository: { full_name: "acme/shop", private: true, visibility: "private" } }
        : JSON.parse(readFileSync(event, "utf8"));
    writeFileSync(path, JSON.stringify(payload, null, 2));
    return { name: eventName ?? ("pull_request" in payload ? "pull_request" : "push"), path, payload };
  }

  /** Starts a step; its post step runs at the job's end. Several may run at once. */
  start(options: StepOptions = {}): RunningStep {
    const running: Running = {
      id: options.id ?? String(Object.keys(this.#steps).length + 1),
      options,
      state: {},
    };
    this.#steps[running.id] = { outputs: {}, outcome: "" };
    if (this.manifest.post !== undefined) this.#posts.push(running);
    return this.#launch(running, this.manifest.main);
  }

  step(options: StepOptions = {}): Promise<StepResult> {
    return this.start(options).result;
  }

  /** Runs the post steps, whatever came before; then the runner's own clean-up. */
  async end(): Promise<JobEnd> {
    const posts: StepResult[] = [];
    for (const running of this.#posts.splice(0).reverse())
      posts.push(await this.#launch(running, this.manifest.post ?? "").result);
    return { posts, ...this.vanish() };
  }

  /** The clean-up without the post steps: the runner itself was killed, and the next job found what is left. */
  vanish(): Omit<JobEnd, "posts"> {
    this.#posts.length = 0;
    const orphans = this.#killOrphans();
    const now = listFiles(this.#action);
    const changed = [...new Set([...now.keys(), ...this.#files.keys()])].filter(
      (path) => now.get(path) !== this.#files.get(path),
    );
    execFileSync("chmod", ["-R", "u+w", this.#action]);
    rmSync(this.#action, { recursive: true, force: true });
    return { orphans, changed };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#killOrphans();
    execFileSync("chmod", ["-R", "u+w", this.#root]);
    rmSync(this.#root, { recursive: true, force: true });
  }

  #launch(running: Running, script: string): RunningStep {
    const { options, state } = running;
    const files = new CommandFiles(this.folders.temp);
    const given = Object.entries(options.with ?? {}).map(([name, value]) => [
      name,
      evaluate(value, this.#contexts),
    ]);
    const inputs = inputEnvironment(this.manifest, Object.fromEntries(given), this.#contexts);
    const env = {
      ...this.#env,
      ...this.#global.env,
      ...options.env,
      ...Object.fromEntries(Object.entries(state).map(([name, value]) => [`STATE_${name}`, value])),
      ...inputs.env,
      ...files.environment,
    };
    if (this.#global.path.length > 0)
      env.PATH = [...this.#global.path]
        .reverse()
        .concat(env.PATH ?? [])
        .join(":");
    return new RunningStep(
      (onLine) =>
        new ActionProcess({
          node: findNode(),
          script: join(this.#action, script),
          cwd: this.folders.workspace,
          env,
          onLine: (line) => {
            options.onLine?.(line);
            onLine(line);
          },
        }),
      (process) => this.#finish(running, process, files, inputs.warnings),
    );
  }

  async #finish(
    running: Running,
    process: ActionProcess,
    files: CommandFiles,
    warnings: string[],
  ): Promise<StepResult> {
    const result = await process.result;
    const taken = files.take();
    Object.assign(running.state, taken.state);
    Object.assign(this.#global.env, taken.env);
    this.#global.path.push(...taken.path);
    const failed = result.exitCode !== 0 || taken.errors.length > 0;
    const conclusion = result.cancelled ? "cancelled" : failed ? "failure" : "success";
    const step = this.#steps[running.id];
    if (step !== undefined)
      Object.assign(step, { outcome: conclusion, outputs: { ...step.outputs, ...taken.outputs } });
    const { honoured, fenced, stopped } = process.commands;
    return { ...result, ...taken, conclusion, honoured, fenced, leftStopped: stopped, warnings };
  }

  /** SIGKILL for every process that was not there before the job and carries its tracking id. */
  #killOrphans(): string[] {
    const killed: string[] = [];
    for (const entry of listProcesses()) {
      if (this.#before.has(entry)) continue;
      const [pid = "", name = ""] = entry.split(/_(.*)/s);
      try {
        const environ = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
        if (!environ.includes(`RUNNER_TRACKING_ID=${this.trackingId}`)) continue;
        process.kill(Number(pid), "SIGKILL");
        killed.push(name);
      } catch {
        // Gone, or another user's.
      }
    }
    return killed;
  }
}

/** `pid_name` of every process. */
function listProcesses(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      return [`${pid}_${readFileSync(`/proc/${pid}/comm`, "utf8").trim()}`];
    } catch {
      return [];
    }
  });
}

/** Path → what would show a change. */
function listFiles(folder: string): Map<string, string> {
  const listed = execFileSync("find", [".", "-printf", "%P\\t%m %s %T@ %l\\n"], {
    cwd: folder,
    encoding: "utf8",
  });
  return new Map(
    listed
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split("\t") as [string, string]),
  );
}

function makeRepository(folder: string): void {
  writeFileSync(join(folder, "package.json"), '{ "name": "shop", "private": true }\n');
  writeFileSync(join(folder, "hello.sh"), "#!/bin/sh\necho hello from the checkout\n");
  chmodSync(join(folder, "hello.sh"), 0o755);
  const identity = ["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"];
  for (const args of [
    ["init", "-q", "-b", "main"],
    ["add", "."],
    [...identity, "commit", "-qm", "first"],
  ])
    execFileSync("git", args, { cwd: folder });
}
