import { withClient } from "../connect.ts";
import { readExitStatus } from "../exec-io/exit-status.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, writeOut } from "../output.ts";

export interface WaitFlags {
  for: "stopped" | "removed" | "exec";
  /** Milliseconds. */
  timeout?: number;
  json?: boolean;
}

/** `thaw wait`. @returns 0, or the exec's exit code. */
export async function wait(sandbox: string, exec: string | undefined, flags: WaitFlags): Promise<number> {
  const what =
    flags.for === "exec" ? { for: "exec" as const, exec: exec ?? "" } : { for: flags.for as "stopped" };
  const result = await withClient((client) =>
    client.sandboxes.at(sandbox).wait(what, { timeoutMs: flags.timeout }),
  );
  const status = result.exec === null ? undefined : readExitStatus(result.exec);
  if (flags.json === true) printJson(result);
  else if (status !== undefined) writeOut(`exit ${status.code}\n`);
  else writeOut(`${result.state}${result.reason === null ? "" : `: ${cleanText(result.reason)}`}\n`);
  return status?.code ?? 0;
}
