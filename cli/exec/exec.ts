import type { ExecInfo, Thaw } from "../../client/index.ts";
import { type DetachKeys, defaultDetachKeys } from "../arguments/detach-keys.ts";
import { withClient } from "../connect.ts";
import { type ConductOptions, conductExec } from "../exec-io/conduct.ts";
import { checkDetached, startAndLeave } from "../exec-io/detached.ts";
import { reportEnd, sayLeft } from "../exec-io/end.ts";
import { type ExecFlags, planExec } from "../exec-io/flags.ts";
import { nameOurselves } from "../exec-io/own-name.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { checkTerminal } from "../exec-io/terminal.ts";
import { printJson, writeOut } from "../output.ts";
import { writeResult } from "../result-file.ts";

/** Flags of `thaw exec`. */
export interface ExecCommandFlags extends ExecFlags {
  detach?: boolean;
  detachKeys?: DetachKeys;
}

/** Starts a command and stays with it to its end, or until the user leaves. A user who gives up has it killed. */
async function execAttached(
  client: Thaw,
  sandbox: string,
  options: { argv: readonly string[]; flags: ExecCommandFlags },
): Promise<ExecInfo | undefined> {
  const { argv, flags } = options;
  let started: ExecInfo | undefined;
  const kill = async (): Promise<void> => {
    if (started === undefined) return;
    await client.sandboxes.at(started.sandbox).execAt(started.id).kill();
  };
  const open: ConductOptions["open"] = async (handlers) => {
    const { signal } = handlers;
    // aborted, it leaves no command behind
    started = await client.sandboxes.at(sandbox).startDetached(planExec(argv, flags), { signal });
    // the writer even without stdin: signals and sizes are the writer's
    const how = { stdin: true, as: nameOurselves(), ...handlers };
    try {
      return await client.sandboxes.at(started.sandbox).execAt(started.id).attach(how);
    } catch (error) {
      if (signal.aborted) await kill();
      throw error;
    }
  };
  const detachKeys =
    flags.tty === true && flags.interactive === true ? (flags.detachKeys ?? defaultDetachKeys) : undefined;
  const exec = await conductExec(flags, { open, onGiveUp: kill, detachKeys });
  if (exec === undefined && started !== undefined) sayLeft(sandbox, started);
  return exec;
}

/** `thaw exec`. @returns the command's exit code, or thaw's. */
export async function execIn(
  sandbox: string,
  argv: readonly string[],
  flags: ExecCommandFlags,
): Promise<number> {
  if (flags.detach === true) checkDetached(flags);
  checkTerminal(flags);
  return withClient(async (client) => {
    if (flags.detach === true) {
      using interrupt = abortOnSignals();
      const { signal } = interrupt;
      const exec = await startAndLeave(client.sandboxes.at(sandbox), planExec(argv, flags), signal);
      writeResult({ type: "result", exec });
      if (flags.json === true) printJson(exec);
      else writeOut(`${exec.id}\n`);
      return 0;
    }
    return reportEnd(await execAttached(client, sandbox, { argv, flags }), flags);
  });
}
