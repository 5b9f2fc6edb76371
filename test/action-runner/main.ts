/** Runs the built action as a self-hosted runner would and prints what came of it: `npm run action -- --help`. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type Arguments, parseArguments, type StepArguments, USAGE } from "./arguments.ts";
import type { Command } from "./commands.ts";
import { Job, type RunningStep, type StepResult } from "./job.ts";
import { makeReleaseFolder } from "./release-folder.ts";

const print = (text: string): void => void process.stdout.write(`${text}\n`);

function printTable(title: string, table: Record<string, string>): void {
  const entries = Object.entries(table);
  if (entries.length === 0) return;
  print(`── ${title}`);
  for (const [name, value] of entries) print(`${name}=${JSON.stringify(value)}`);
}

function printCommands(title: string, commands: Command[]): void {
  print(`── ${title}: ${commands.length === 0 ? "none" : ""}`);
  for (const { stream, line } of commands) print(`${stream} ${JSON.stringify(line.slice(0, 200))}`);
}

function printStep(name: string, result: StepResult): void {
  for (const warning of [...result.warnings, ...result.errors]) print(`the runner says: ${warning}`);
  if (result.summary !== "") print(`── summary of ${name}\n${result.summary.trimEnd()}`);
  printTable(`outputs of ${name}`, result.outputs);
  printTable(`state of ${name}`, result.state);
  printCommands(`commands honoured in ${name}`, result.honoured);
  if (result.fenced.length > 0)
    printCommands(`commands that only the fence held back in ${name}`, result.fenced);
  if (result.leftStopped) print(`${name} ended behind its own fence`);
  const ended = result.signal ?? result.exitCode;
  print(
    `── ${name}: ${result.conclusion}, exit ${ended}, ${Math.round(result.ms)} ms, held ${Math.round(result.heldMs)} ms, peak ${Math.round(result.peakRssMib)} MiB, ${result.bytes} bytes of log`,
  );
}

function startStep(job: Job, { cancelAfterMs, killAfterMs, ...step }: StepArguments): RunningStep {
  const running = job.start({ ...step, onLine: print });
  const timers = [
    cancelAfterMs === undefined ? undefined : setTimeout(() => void running.process.cancel(), cancelAfterMs),
    killAfterMs === undefined ? undefined : setTimeout(() => running.process.kill(), killAfterMs),
  ];
  const interrupt = (): void => void running.process.cancel();
  process.on("SIGINT", interrupt);
  running.result
    .catch(() => {})
    .finally(() => {
      process.off("SIGINT", interrupt);
      for (const timer of timers) clearTimeout(timer);
    });
  return running;
}

/** @returns whether every step succeeded */
async function runJob(folder: string, options: Arguments): Promise<boolean> {
  const { jobEnv, ...rest } = options;
  await using job = new Job({ ...rest, env: jobEnv, action: folder });
  const results: StepResult[] = [];
  let beside: Promise<StepResult>[] = [];
  const wait = async (): Promise<void> => {
    for (const result of await Promise.all(beside.splice(0))) {
      results.push(result);
      printStep(`step ${results.length}`, result);
    }
  };
  for (const step of options.steps) {
    if (!step.atOnce) await wait();
    beside = [...beside, startStep(job, step).result];
  }
  await wait();
  const { posts, orphans, changed } = options.vanish ? { posts: [], ...job.vanish() } : await job.end();
  for (const post of posts) printStep("post", post);
  if (orphans.length > 0) print(`the runner killed ${orphans.join(", ")}`);
  if (changed.length > 0) print(`the action's folder was changed: ${changed.join(", ")}`);
  return [...results, ...posts].every(({ conclusion }) => conclusion === "success");
}

let options: Arguments;
try {
  options = parseArguments(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${USAGE}`);
  process.exit(2);
}
if (options.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
if (options.action !== undefined && !existsSync(resolve(options.action, "action.yml"))) {
  process.stderr.write(`${options.action} has no action.yml\n`);
  process.exit(2);
}
using release = options.action === undefined ? makeReleaseFolder() : undefined;
for (let n = 0; n < options.repeat; n++)
  if (!(await runJob(release?.path ?? resolve(options.action ?? ""), options))) process.exitCode = 1;
