import { ThawError } from "../../client/errors.ts";
import type { Exec, ExecConnection, ThawClient } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { conductExec, passOutput } from "../exec-io/conduct.ts";
import { readExitStatus } from "../exec-io/exit-status.ts";
import { type ExecFlags, planExec } from "../exec-io/flags.ts";
import { checkTerminal } from "../exec-io/terminal.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";

/** Flags of `thaw exec`. */
export interface ExecCommandFlags extends ExecFlags {
  detach?: boolean;
}

/** Starts a command and stays with it to its end. A user who gives up has it killed. */
async function execAttached(
  client: ThawClient,
  sandbox: string,
  options: { argv: readonly string[]; flags: ExecFlags },
): Promise<Exec> {
  const { argv, flags } = options;
  let started: Exec | undefined;
  const open = async (signal: AbortSignal): Promise<ExecConnection> => {
    started = await client.startExec(sandbox, planExec(argv, flags), { signal });
    // the writer even without stdin: signals and sizes are the writer's
    return client.attach(
      { sandbox: started.sandbox, exec: started.id, stdin: true },
      { ...passOutput, signal },
    );
  };
  const onGiveUp = async (): Promise<void> => {
    if (started === undefined) return;
    await client.signalExec({ sandbox: started.sandbox, exec: started.id, signal: "KILL", to: "tree" });
  };
  return conductExec(flags, { open, onGiveUp });
}

/** `thaw exec`. @returns the command's exit code, or thaw's. */
export async function execIn(
  sandbox: string,
  argv: readonly string[],
  flags: ExecCommandFlags,
): Promise<number> {
  if (flags.detach === true && (flags.tty === true || flags.interactive === true)) {
    throw new ThawError("usage", "-d leaves nobody for -i and -t", { hint: "leave out -d, or -i and -t" });
  }
  checkTerminal(flags);
  return withClient(async (client) => {
    if (flags.detach === true) {
      const exec = await client.startExec(sandbox, planExec(argv, flags));
      if (exec.error !== null) throw ThawError.fromApi({ error: exec.error }, "the command failed to run");
      if (flags.json === true) printJson(exec);
      else writeOut(`${exec.id}\n`);
      return 0;
    }
    const exec = await execAttached(client, sandbox, { argv, flags });
    const status = readExitStatus(exec);
    if (flags.json === true) writeErr(`${JSON.stringify({ type: "result", exitCode: status.code, exec })}\n`);
    else if (status.explanation !== undefined)
      writeErr(`${styleErr("red", "thaw:")} ${status.explanation}\n`);
    return status.code;
  });
}
