/** A step from its plan to its result. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { exitCodeOf } from "../api/exit-code.ts";
import {
  type ErrorCode,
  type ExecInfo,
  isStoreReference,
  type NetworkSummary,
  type Rerun,
  type SandboxInfo,
  type Thaw,
  ThawError,
} from "../client/index.ts";
import { type BroughtBack, bringBack } from "./bring-back.ts";
import { saveCache, writesCache } from "./cache.ts";
import { Cancelled } from "./cancel.ts";
import { findCancelled, type KeptCapture, keepCapture, keptOnHost, rerunFailed } from "./capture.ts";
import type { Fetched } from "./fetch/fetch.ts";
import { formatBytes, formatMs } from "./format.ts";
import { renewLease } from "./lease.ts";
import { type Ended, runInNew, runInside, type StepContext, wantsFiles } from "./machine.ts";
import type { StepPlan } from "./plan.ts";
import { describeError } from "./reader.ts";
import type { StepState } from "./state.ts";
import type { SentToGuest } from "./workspace.ts";

export type Outcome = "success" | "failure" | "timeout" | "cancelled" | "error";

/** How a step went. */
export interface StepResult {
  outcome: Outcome;
  exitCode: number;
  /** thaw's own failure, or why the step was cancelled. */
  error: string | undefined;
  /** Of thaw's own failure. */
  code: ErrorCode | undefined;
  sandbox: SandboxInfo | undefined;
  /** The sandbox is there when the step has ended. */
  stays: boolean;
  exec: ExecInfo | undefined;
  denied: readonly NetworkSummary[];
  sent: SentToGuest | undefined;
  fetched: Fetched | undefined;
  brought: BroughtBack | undefined;
  capture: KeptCapture | undefined;
  rerun: Rerun | undefined;
  /** What a person should know. */
  notes: string[];
  /** Fetched from a store. */
  pulled: { bytes: number; ms: number } | undefined;
  host: string;
}

/** From the runner's signal to its SIGKILL there are 10 s; something is left for the summary. */
const CANCEL_BUDGET_MS = 6_000;

function emptyResult(): StepResult {
  return {
    outcome: "error",
    exitCode: 125,
    error: undefined,
    code: undefined,
    sandbox: undefined,
    stays: false,
    exec: undefined,
    denied: [],
    sent: undefined,
    fetched: undefined,
    brought: undefined,
    capture: undefined,
    rerun: undefined,
    notes: [],
    pulled: undefined,
    host: hostname(),
  };
}

/** Fetches the snapshot where it lies in a store. */
async function bringSnapshot(plan: StepPlan, context: StepContext, result: StepResult): Promise<StepPlan> {
  const { source } = plan.settings;
  if (source?.snapshot === undefined || !isStoreReference(source.snapshot)) return plan;
  const { client, log, signal } = context;
  const started = performance.now();
  const { findInStore, openStore, pull } = await import("../client/index.ts");
  await using opened = await openStore(source.snapshot, { plainHttp: false, write: false });
  const packed = await findInStore(opened.store, "snapshot", opened.tag, signal);
  const pulled = await pull(client, opened.store, packed, { signal });
  result.pulled = { bytes: pulled.fetchedBytes, ms: performance.now() - started };
  const what =
    pulled.fetchedBytes === 0 ? "is already on this host" : `${formatBytes(pulled.fetchedBytes)} fetched`;
  await log.say(`${source.snapshot} ${what} (${formatMs(result.pulled.ms)})`);
  return { ...plan, settings: { ...plan.settings, source: { ...source, snapshot: pulled.id } } };
}

function outcomeOf(exec: ExecInfo): Pick<StepResult, "outcome" | "exitCode"> {
  if (exec.error !== null) throw ThawError.fromApi({ error: exec.error }, "the command failed to run");
  if (exec.exit === null) throw new ThawError("internal", "the command ended without an exit status");
  const exitCode = exitCodeOf(exec.exit);
  if (exec.exit.timedOut) return { outcome: "timeout", exitCode };
  return { outcome: exitCode === 0 ? "success" : "failure", exitCode };
}

/** After the command: copies files back, removes the sandbox, runs a failed command again and keeps the capture. */
async function finish(plan: StepPlan, { sandbox, exec }: Ended, context: StepContext, result: StepResult) {
  const { client, signal } = context;
  const machine = client.sandboxes.at(sandbox.id);
  if (wantsFiles(plan)) {
    const random = randomUUID().slice(0, 8);
    result.brought = await bringBack(plan, machine, { random, signal });
    result.notes.push(...result.brought.notes);
    if (plan.sandbox === undefined && writesCache(plan) && result.exitCode === 0)
      await saveCache(machine, context.log, signal);
    if (plan.sandbox === undefined && plan.keep === "step") await machine.remove({ signal }).catch(() => {});
  }
  result.stays = plan.sandbox !== undefined || plan.keep !== "step";
  const { captured } = exec;
  if (captured === null) return;
  if ("error" in captured) {
    result.notes.push(`not captured: ${captured.error}`);
    return;
  }
  if (result.exitCode !== 0) result.rerun = await rerunFailed(captured.id, plan, context);
  await keepFor(captured.id, plan, context, result);
  result.capture = await keepCapture(captured, plan, context);
}

/** Tells the host for how long a capture is kept. An older daemon knows no such thing: then its own retention counts. */
async function keepFor(
  id: string,
  { retentionMs }: StepPlan,
  { client, signal }: { client: Thaw; signal?: AbortSignal },
  result: StepResult,
): Promise<void> {
  if (retentionMs === undefined) return;
  await client.captures.setMaxAge(id, retentionMs, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    result.notes.push(`retention: ${describeError(error)}: only the limits in the host's config.yaml apply`);
  });
}

/** A step that was cancelled: its sandbox goes with the connection, and the daemon keeps it first where the policy says so. */
async function cancelled(
  plan: StepPlan,
  state: StepState | undefined,
  context: StepContext,
  result: StepResult,
) {
  result.outcome = "cancelled";
  result.exitCode = 130;
  result.stays = plan.sandbox !== undefined;
  const captures =
    plan.capture === "always" || (Array.isArray(plan.capture) && plan.capture.includes("cancel"));
  if (!captures || state === undefined) return;
  const id = await findCancelled(context.client, state.sandbox, CANCEL_BUDGET_MS).catch(() => undefined);
  if (id === undefined)
    result.notes.push("the capture of the cancelled step is still in progress: thaw capture ls");
  else await keepFor(id, plan, { client: context.client }, result);
  if (id !== undefined) result.capture = keptOnHost({ id, pauseMs: 0, changedBytes: 0 });
}

/** Runs a step. Never throws: what goes wrong is its result. */
export async function runStep(plan: StepPlan, given: StepContext): Promise<StepResult> {
  const result = emptyResult();
  let state: StepState | undefined;
  let lease: Disposable | undefined;
  const context: StepContext = {
    ...given,
    save: (saved, sandbox) => {
      state = saved;
      if (plan.leaseMs !== undefined)
        lease ??= renewLease(given.client.sandboxes.at(sandbox.id), plan.leaseMs);
      result.sandbox = sandbox;
      given.save(saved, sandbox);
    },
  };
  try {
    const ready = await bringSnapshot(plan, context, result);
    const ended =
      plan.sandbox === undefined
        ? await runInNew(ready, context)
        : await runInside(plan.sandbox, ready, context);
    context.signal.throwIfAborted();
    const { sandbox, exec, denied, sent, fetched } = ended;
    Object.assign(result, { sandbox, exec, denied, sent, fetched, ...outcomeOf(exec) });
    await finish(ready, ended, context, result).catch((error: unknown) => {
      context.signal.throwIfAborted();
      // How the step ended is the command's to say.
      result.notes.push(describeError(error));
    });
  } catch (error) {
    result.error = describeError(error);
    if (error instanceof Cancelled || context.signal.aborted) await cancelled(plan, state, context, result);
    else {
      result.outcome = "error";
      if (error instanceof ThawError) result.code = error.code;
      result.exitCode = error instanceof ThawError ? error.exitCode : 125;
    }
  }
  lease?.[Symbol.dispose]();
  if (state !== undefined && result.sandbox !== undefined)
    given.save({ ...state, over: true }, result.sandbox);
  return result;
}
