import { statSync } from "node:fs";
import {
  type ExecConnection,
  type NetworkSummary,
  type SandboxInfo,
  type StatusMessage,
  type Thaw,
  ThawError,
} from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { sayCaptured } from "../exec-io/captured.ts";
import { type ConductOptions, conductExec } from "../exec-io/conduct.ts";
import { readExitStatus } from "../exec-io/exit-status.ts";
import { checkTerminal } from "../exec-io/terminal.ts";
import { sayUnavailable } from "../network/unavailable.ts";
import { styleErr, writeErr } from "../output.ts";
import { createReporter, type ProgressReporter } from "../progress/reporter.ts";
import { writeResult } from "../result-file.ts";
import { bringSource } from "../travel/bring.ts";
import { sayDenied } from "./denied.ts";
import { planRun, type RunFlags, type RunPlan, type RunWords, requestRun } from "./plan.ts";

export type { RunFlags } from "./plan.ts";

/** @throws ThawError `usage` when it is no folder. */
export function checkWorkspace(folder: string | undefined): void {
  if (folder === undefined || statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new ThawError("usage", `the workspace ${folder} is not a folder`, { hint: "--workspace ." });
}

/** Opens the run; with a workspace the command is held until that is there. */
async function openRun(
  client: Thaw,
  plan: RunPlan,
  options: {
    flags: RunFlags;
    handlers: Parameters<ConductOptions["open"]>[0];
    reporter: ProgressReporter;
    onCreated: (sandbox: SandboxInfo) => void;
    onDenied: (denied: readonly NetworkSummary[]) => void;
  },
): Promise<ExecConnection> {
  const { flags, handlers, reporter, onCreated, onDenied } = options;
  const { signal } = handlers;
  const created = Promise.withResolvers<SandboxInfo>();
  const onStatus = (message: StatusMessage): void => {
    handlers.onStatus(message);
    if (message.type === "progress") reporter.show(message);
    if (message.type === "exit") onDenied(message.denied ?? []);
    if (message.type !== "created") return;
    reporter[Symbol.dispose]();
    onCreated(message.sandbox);
    created.resolve(message.sandbox);
  };
  const connection = await client.run(requestRun(plan, flags), { ...handlers, onStatus });
  const { workspace: folder, ignore = true, user } = plan.settings;
  if (folder === undefined) return connection;
  const { beginWorkspace, sendWorkspace } = await import("./send-workspace.ts");
  const workspace = beginWorkspace(folder, { ignore, signal });
  const sandbox = await Promise.race([created.promise, connection.result.then(() => created.promise)]);
  try {
    const { capture = "never" } = plan.settings;
    const verbose = flags.verbose === true && flags.json !== true;
    await sendWorkspace(client, sandbox, { workspace, user, keep: capture !== "never", verbose, signal });
  } catch (error) {
    connection.close();
    throw error;
  }
  connection.start();
  return connection;
}

/** `thaw run`: thaws, runs, removes. @returns the command's exit code, or thaw's. */
export async function run(words: RunWords, flags: RunFlags): Promise<number> {
  checkTerminal(flags);
  const plan = await planRun(words, flags);
  checkWorkspace(plan.settings.workspace);
  return withClient(async (client) => {
    const source = await bringSource(client, plan.settings.source, flags);
    const ready = { ...plan, settings: { ...plan.settings, ...source } };
    using reporter = createReporter(flags);
    let sandbox: SandboxInfo | undefined;
    let denied: readonly NetworkSummary[] = [];
    const onDenied = (found: readonly NetworkSummary[]): void => {
      denied = found;
    };
    const onCreated = (created: SandboxInfo): void => {
      sandbox = created;
      sayUnavailable(created);
    };
    const open: ConductOptions["open"] = (handlers) =>
      openRun(client, ready, { flags, handlers, reporter, onCreated, onDenied });
    const exec = await conductExec(flags, { open });
    // without detach keys there is no leaving
    if (exec === undefined) throw new ThawError("internal", "the run was left");
    if (exec.error !== null && flags.json !== true) sayCaptured(exec);
    const status = readExitStatus(exec);
    const result = { type: "result", exitCode: status.code, sandbox, exec } as const;
    const written = writeResult(result);
    if (flags.json === true) {
      if (!written) writeErr(`${JSON.stringify(result)}\n`);
    } else {
      if (status.explanation !== undefined) writeErr(`${styleErr("red", "thaw:")} ${status.explanation}\n`);
      sayCaptured(exec);
    }
    if (plan.settings.keep === true && flags.json !== true)
      writeErr(`thaw: kept as ${sandbox?.name} · thaw exec ${sandbox?.name} -- …\n`);
    if (flags.verbose === true && flags.json !== true) {
      const thawed = sandbox?.thawMs == null ? "" : `thaw ${Math.round(sandbox.thawMs)} ms · `;
      writeErr(`${thawed}exec ${Math.round(exec.exit?.durationMs ?? 0)} ms · exit ${status.code}\n`);
    }
    if (status.code !== 0 && flags.json !== true) sayDenied(denied);
    return status.code;
  });
}
