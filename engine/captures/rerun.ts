/** The recorded command again, many times from the state just before it: is the failure flaky, or is it broken? */

import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { ExecExit } from "../../api/exec.ts";
import type { ExecDefaults } from "../../api/machine.ts";
import { Gate } from "../concurrency.ts";
import { EngineError } from "../errors.ts";
import { endingOf } from "../execs/ending.ts";
import type { RecordedRequest } from "../execs/request.ts";
import { randomId } from "../ids.ts";
import type { OnProgress } from "../progress.ts";
import { type ForkOrigin, forkOrigin } from "../sandboxes/fork.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import type { Captures } from "./captures.ts";
import { LEFT_OUT } from "./check.ts";
import { differenceOrigin, makeRoom } from "./replay.ts";
import { RerunProgress } from "./rerun-progress.ts";
import type { StoredCapture } from "./store.ts";

export interface RerunOptions {
  count: number;
  /** How many at a time. */
  jobs: number;
  /** Instead of the recorded command. */
  argv?: string[] | undefined;
  /** Over the recorded environment: for what was secret, say. */
  env?: Record<string, string> | undefined;
  onProgress: OnProgress;
  onRun: (run: Run) => void;
  signal: AbortSignal;
  /** Id of the client's request: asked again, the runs that there are already count. */
  request?: string | undefined;
}

export interface Run {
  /** From 1 on. */
  number: number;
  failed: boolean;
  exit: ExecExit | null;
  /** Why there is no exit. */
  error: string | null;
  /** Of a failure; alike for those of one cause. */
  fingerprint: string | null;
  /** The capture that was kept of it: one for each fingerprint, the first capture's own included. */
  capture: string | null;
}

export interface Rerun {
  capture: string;
  before: "base" | "workspace" | "checkpoint";
  argv: string[];
  runs: Run[];
  failed: number;
  /** `flaky`: some fail; `broken`: all do; `passes`: none does. */
  verdict: "flaky" | "broken" | "passes";
  /** Of the share that fails: Wilson's score interval at 95 %, from 0 to 1. */
  interval: [number, number];
}

/** Makes and removes sandboxes. */
export interface RerunHost extends LiveContext {
  captures: Captures;
  thaw(
    name: string,
    from: { snapshot: StoredSnapshot; origin?: ForkOrigin | undefined; defaults: ExecDefaults },
    options: { onProgress: OnProgress; signal: AbortSignal },
  ): Promise<Sandbox>;
  remove(sandbox: Sandbox): Promise<void>;
}

export async function rerun(host: RerunHost, capture: StoredCapture, options: RerunOptions): Promise<Rerun> {
  const { count, jobs, onRun, signal } = options;
  const request = await requestOf(host, capture);
  const base = await host.store.get(capture.manifest.base.snapshot);
  const start = await openStart(host, capture, base, options);
  const progress = await RerunProgress.open(host.home.reruns, options.request);
  const kept = keptCaptures(capture, progress.runs.values());
  const gate = new Gate(jobs);
  const abort = new AbortController();
  const either = AbortSignal.any([signal, abort.signal]);
  try {
    const runs = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        gate.run(async () => {
          either.throwIfAborted();
          const number = index + 1;
          const what = { capture, request, start, kept, number };
          const one =
            progress.runs.get(number) ?? (await runOnce(host, what, { ...options, signal: either }));
          await progress.note(one);
          onRun(one);
          return one;
        }),
      ),
    ).catch((error: unknown) => {
      // The others need not go on.
      abort.abort(error);
      throw error;
    });
    return summarize(capture, options.argv ?? request.argv, runs);
  } finally {
    await start.origin?.release();
  }
}

/** By fingerprint: the first capture, and what earlier runs were captured as. */
function keptCaptures(capture: StoredCapture, runs: Iterable<Run>): Map<string, string> {
  const kept = new Map([[capture.file.fingerprint, capture.id]]);
  for (const run of runs)
    if (run.capture !== null && run.fingerprint !== null) kept.set(run.fingerprint, run.capture);
  return kept;
}

/** Wilson's score interval at 95 %. */
export function failureInterval(failed: number, count: number): [number, number] {
  if (count === 0) return [0, 1];
  const z = 1.959964;
  const share = failed / count;
  const scale = 1 + z ** 2 / count;
  const middle = (share + z ** 2 / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2));
  // The ends are exact where the formula only nearly is.
  return [failed === 0 ? 0 : Math.max(0, middle - half), failed === count ? 1 : Math.min(1, middle + half)];
}

function summarize(capture: StoredCapture, argv: string[], runs: Run[]): Rerun {
  const failed = runs.filter((run) => run.failed).length;
  const verdict = failed === 0 ? "passes" : failed === runs.length ? "broken" : "flaky";
  const { before } = capture.file;
  if (before === "unknown") throw new EngineError("internal", "a rerun from an unknown state");
  return {
    capture: capture.id,
    before,
    argv,
    runs,
    failed,
    verdict,
    interval: failureInterval(failed, runs.length),
  };
}

async function requestOf({ captures }: RerunHost, capture: StoredCapture): Promise<RecordedRequest> {
  const request = await captures.store.request(capture);
  const hint = `thaw replay ${capture.id}`;
  if (request === null)
    throw new EngineError(
      "unsupported",
      `${capture.id} was not taken for a command, so there is no command to rerun`,
      { hint },
    );
  if (capture.file.before === "unknown") {
    const message = `${capture.id}: other commands ran in its sandbox before, so the state before this command is not known`;
    throw new EngineError("unsupported", message, { hint: `${hint}; next time: --checkpoint` });
  }
  if (capture.file.before === "checkpoint" && capture.manifest.memory === "none")
    throw new EngineError("unsupported", `${capture.id} has no checkpoint: ${LEFT_OUT}`, { hint });
  return request;
}

interface Start {
  snapshot: StoredSnapshot;
  origin: ForkOrigin | undefined;
}

/** What every run is thawed from. */
async function openStart(
  host: RerunHost,
  capture: StoredCapture,
  base: StoredSnapshot,
  options: RerunOptions,
): Promise<Start> {
  const { before } = capture.file;
  if (before === "base") return { snapshot: base, origin: undefined };
  const { signal, onProgress } = options;
  if (before === "checkpoint") {
    const from = { base, prefix: "before-" as const, signal };
    return { snapshot: base, origin: await differenceOrigin(host, host.captures.store, capture, from) };
  }
  const { dir: opened, clear } = await makeRoom(host);
  try {
    const origin = await withWorkspace(host, capture, base, { opened, onProgress, signal });
    return { snapshot: await host.store.get(origin.snapshot), origin };
  } finally {
    await clear();
  }
}

/** The workspace is copied in once; the runs are forks of that. */
async function withWorkspace(
  host: RerunHost,
  capture: StoredCapture,
  base: StoredSnapshot,
  { opened, onProgress, signal }: { opened: string; onProgress: OnProgress; signal: AbortSignal },
): Promise<ForkOrigin> {
  const { workspace } = capture.file;
  if (!workspace)
    throw new EngineError(
      "capture-corrupt",
      `capture ${capture.id} lacks the workspace that its case file names`,
    );
  await host.captures.store.expand(capture, (name) => name === "workspace.zst", opened, signal);
  const name = `rerun-${randomId()}`;
  const { defaults } = base.manifest;
  const sandbox = await host.thaw(name, { snapshot: base, defaults }, { onProgress, signal });
  try {
    await sandbox.use("files", (agent) => {
      // Opened by its reader: an error of a stream that nobody reads would end the daemon.
      const tree = createReadStream(join(opened, "workspace"), { highWaterMark: 1 << 20 });
      return agent.treeIn(workspace.path, tree, workspace.user ?? undefined);
    });
    return await forkOrigin(host, sandbox, { onProgress, signal });
  } finally {
    await host.remove(sandbox);
  }
}

async function runOnce(
  host: RerunHost,
  what: {
    capture: StoredCapture;
    request: RecordedRequest;
    start: Start;
    kept: Map<string, string>;
    number: number;
  },
  options: RerunOptions,
): Promise<Run> {
  const { capture, request, start, kept, number } = what;
  const { signal, onProgress } = options;
  const name = `rerun-${capture.id.slice(capture.id.indexOf("-") + 1)}-${number}-${randomId().slice(0, 4)}`;
  const { defaults } = start.snapshot.manifest;
  const sandbox = await host.thaw(name, { ...start, defaults }, { onProgress, signal });
  try {
    sandbox.rejectDuplicate = (fingerprint) => {
      const same = kept.get(fingerprint);
      if (same !== undefined) throw new EngineError("conflict", `${same} has the same failure`);
      kept.set(fingerprint, "");
    };
    const exec = await sandbox.exec({
      argv: options.argv ?? request.argv,
      env: { ...request.env, ...options.env },
      ...(request.cwd === null ? {} : { cwd: request.cwd }),
      ...(request.user === null ? {} : { user: request.user }),
      ...(request.tty ? { tty: { rows: 24, cols: 80 } } : {}),
      ...(request.timeoutMs === null ? {} : { timeoutMs: request.timeoutMs }),
      mask: capture.file.exec?.masked ?? [],
      capture: "on-failure",
    });
    await exec.ended(signal);
    const { exit, error, captured } = exec.record;
    const failed = exit === null || exit.code !== 0 || exit.timedOut;
    const fingerprint =
      failed && exit ? await host.captures.fingerprintOf(exec, endingOf(exit, false)) : null;
    const own = captured !== null && "id" in captured ? captured.id : null;
    if (own !== null && fingerprint !== null) kept.set(fingerprint, own);
    return { number, failed, exit, error: error?.message ?? null, fingerprint, capture: own };
  } finally {
    await host.remove(sandbox);
  }
}
