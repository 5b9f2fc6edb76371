/** The step's command in its sandbox: a new one, or that of an earlier step. */
import { defined } from "../api/defined.ts";
import {
  buildRunRequest,
  type ExecConnection,
  type ExecInfo,
  type NetworkSummary,
  type Sandbox,
  type SandboxInfo,
  type StatusMessage,
  type Thaw,
  ThawError,
  workspacePath,
} from "../client/index.ts";
import { tellRestored, writesCache } from "./cache.ts";
import type { Fetched, FoundCode } from "./fetch/fetch.ts";
import { formatBytes, formatMs } from "./format.ts";
import type { GuestLog } from "./log.ts";
import type { StepPlan } from "./plan.ts";
import { tellProgress } from "./progress.ts";
import type { StepState } from "./state.ts";
import { beginWorkspace, type SentToGuest, sendToGuest } from "./workspace.ts";

/** What a step is run with. */
export interface StepContext {
  client: Thaw;
  log: GuestLog;
  /** Aborts when the runner cancels the step. */
  signal: AbortSignal;
  /** Called as soon as there is something to clean up. */
  save: (state: StepState, sandbox: SandboxInfo) => void;
}

/** A command that came to its end. */
export interface Ended {
  sandbox: SandboxInfo;
  exec: ExecInfo;
  denied: readonly NetworkSummary[];
  sent: SentToGuest | undefined;
  fetched: Fetched | undefined;
}

/** Whether something is to be read from the sandbox when the command has ended. */
export function wantsFiles(plan: StepPlan): boolean {
  const { outputs, artifacts, patch } = plan;
  return writesCache(plan) || outputs.length > 0 || artifacts.length > 0 || patch !== undefined;
}

/** @throws ThawError `unsupported` for a machine that is emulated where that is not wanted */
function checkIsolation(plan: StepPlan, { isolation }: SandboxInfo): void {
  if (plan.isolation === "any" || isolation === "kvm") return;
  throw new ThawError(
    "unsupported",
    `isolation: kvm is required, but this host's sandboxes are ${isolation}`,
    {
      hint: "to see why: thaw doctor; to accept it: isolation: any",
    },
  );
}

/** Looks for the commit while the sandbox is made. A failure is told by whoever awaits it. */
function beginFetch({ code }: StepPlan, signal: AbortSignal): Promise<FoundCode> | undefined {
  const found = code && import("./fetch/fetch.ts").then(({ findCode }) => findCode(code, signal));
  found?.catch(() => {});
  return found;
}

async function sendCode(
  code: FoundCode,
  plan: StepPlan,
  { sandbox, context: { client, log } }: { sandbox: SandboxInfo; context: StepContext },
): Promise<Fetched> {
  const fetched = await code.sendTo(sandbox, { client, user: plan.settings.user });
  const { repository, reference, commit, bytes, ms } = fetched;
  const what = reference === undefined ? commit : `${reference} (${commit})`;
  await log.say(`${repository} ${what} fetched: ${formatBytes(bytes)} in ${formatMs(ms)}`);
  return fetched;
}

/** Thaws a sandbox, brings the code in and runs the command. When the step dies, so does the sandbox. */
export async function runInNew(plan: StepPlan, context: StepContext): Promise<Ended> {
  const { client, log, signal, save } = context;
  const { workspace: folder } = plan.settings;
  const keep = plan.keep !== "step" || wantsFiles(plan);
  const request = buildRunRequest({ argv: plan.argv, settings: { ...plan.settings, keep }, ci: plan.ci });
  const created = Promise.withResolvers<SandboxInfo>();
  created.promise.catch(() => {});
  let denied: readonly NetworkSummary[] = [];
  const onStatus = (message: StatusMessage): void => {
    if (message.type === "progress") tellProgress(log, message);
    if (message.type === "dropped")
      void log.say(`output is missing here: std${message.channel} goes on at byte ${message.offset}`);
    if (message.type === "exit") denied = message.denied ?? [];
    if (message.type !== "created") return;
    const fate = plan.keep === "after" ? "leave" : "remove";
    save({ sandbox: message.sandbox.id, fate, over: false }, message.sandbox);
    created.resolve(message.sandbox);
  };
  const workspace =
    folder === undefined ? undefined : beginWorkspace(folder, { exclude: plan.exclude, signal });
  const code = beginFetch(plan, signal);
  const { stdout, stderr } = log;
  const connection = await client.run(
    { ...request, hold: true },
    { stdout: stdout.push, stderr: stderr.push, onStatus, signal },
  );
  let sent: SentToGuest | undefined;
  let fetched: Fetched | undefined;
  try {
    const sandbox = await Promise.race([
      created.promise,
      ...[connection.result, code].map(async (first) => {
        await first;
        return created.promise;
      }),
    ]);
    checkIsolation(plan, sandbox);
    await tellRestored(sandbox, log);
    if (workspace !== undefined) sent = await sendToGuest(plan, sandbox, { ...context, workspace });
    if (code !== undefined) fetched = await sendCode(await code, plan, { sandbox, context });
    await log.openFence();
    connection.start();
    const exec = await connection.result;
    return { sandbox, exec, denied, sent, fetched };
  } finally {
    connection.close();
    code?.then((found) => found[Symbol.asyncDispose]()).catch(() => {});
    await log.closeFence();
  }
}

/** Destinations that were denied, as often as they were since `before`. */
function since(now: readonly NetworkSummary[], before: readonly NetworkSummary[]): NetworkSummary[] {
  const key = ({ destination, port, verdict }: NetworkSummary): string => `${destination} ${port} ${verdict}`;
  const counts = new Map(before.map((summary) => [key(summary), summary.count]));
  return now
    .map((summary) => ({ ...summary, count: summary.count - (counts.get(key(summary)) ?? 0) }))
    .filter(({ verdict, count }) => verdict === "denied" && count > 0);
}

/** How long a cancelled command has to end by itself: the runner gives us 10 s in all. */
const POLITE_MS = 2_000;

/** Runs the command in the sandbox of an earlier step, which stays. */
export async function runInside(name: string, plan: StepPlan, context: StepContext): Promise<Ended> {
  const { client, log, signal, save } = context;
  const sandbox = await findSandbox(client, name, signal);
  checkIsolation(plan, sandbox.info);
  const { settings } = plan;
  if (settings.network !== undefined) await sandbox.network.set(settings.network, { signal });
  const before = (await sandbox.network.state({ signal })).destinations;
  const workspace =
    settings.workspace === undefined
      ? undefined
      : beginWorkspace(settings.workspace, { exclude: plan.exclude, signal });
  const sent = workspace && (await sendToGuest(plan, sandbox.info, { ...context, workspace }));
  const { exec: request } = buildRunRequest({ argv: plan.argv, settings, ci: plan.ci });
  const cwd = request.cwd ?? (await findWorkspace(sandbox, signal));
  const { argv, ...how } = request;
  const started = await sandbox.start(argv, { ...how, ...defined({ cwd }), signal });
  save({ sandbox: sandbox.id, exec: started.id, fate: "leave", over: false }, sandbox.info);
  await log.openFence();
  const cancel = async (): Promise<void> => {
    await started.signal("INT").catch(() => {});
    const isOver = await started.wait({ timeoutMs: POLITE_MS }).then(
      () => true,
      () => false,
    );
    if (!isOver) await started.kill().catch(() => {});
  };
  signal.addEventListener("abort", cancel, { once: true });
  let connection: ExecConnection | undefined;
  try {
    connection = await started.attach({ stdout: log.stdout.push, stderr: log.stderr.push });
    const exec = await connection.result;
    const { destinations } = await sandbox.network.state();
    return { sandbox: sandbox.info, exec, denied: since(destinations, before), sent, fetched: undefined };
  } finally {
    signal.removeEventListener("abort", cancel);
    connection?.close();
    await log.closeFence();
  }
}

/** The workspace, where an earlier step has sent one. */
async function findWorkspace(sandbox: Sandbox, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { type } = await sandbox.files.stat(workspacePath, { signal });
    return type === "dir" ? workspacePath : undefined;
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return undefined;
    throw error;
  }
}

/** @throws ThawError `not-found` with what an earlier step needs */
async function findSandbox(client: Thaw, name: string, signal: AbortSignal): Promise<Sandbox> {
  try {
    return await client.sandboxes.get(name, { signal });
  } catch (error) {
    if (!(error instanceof ThawError && error.code === "not-found")) throw error;
    throw new ThawError("not-found", `there is no sandbox ${name} on this host`, {
      hint: "`keep: job` in the earlier step keeps its sandbox until the job's end",
      cause: error,
    });
  }
}
