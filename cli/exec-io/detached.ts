import { type ExecInfo, type ExecRequest, type SandboxReference, ThawError } from "../../client/index.ts";
import type { ExecFlags } from "./flags.ts";

/** Refuses flags that need somebody who stays. @throws ThawError `usage` */
export function checkDetached({ tty, interactive }: ExecFlags): void {
  if (tty === true || interactive === true)
    throw new ThawError("usage", "-d leaves nobody for -i and -t", { hint: "leave out -d, or -i and -t" });
}

/** Starts a command and leaves it. @throws ThawError why it failed to run */
export async function startAndLeave(
  sandbox: SandboxReference,
  request: ExecRequest,
  signal: AbortSignal,
): Promise<ExecInfo> {
  const exec = await sandbox.startDetached(request, { signal });
  if (exec.error !== null) throw ThawError.fromApi({ error: exec.error }, "the command failed to run");
  return exec;
}
