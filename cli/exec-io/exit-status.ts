import { exitCodeOf } from "../../api/exit-code.ts";
import { type ExecInfo, ThawError } from "../../client/index.ts";
import { formatElapsed } from "../format/age.ts";

/** How our own process ends after an exec. */
export interface ExitStatus {
  code: number;
  /** What is said when the code is thaw's and not the command's. */
  explanation: string | undefined;
}

/**
 * The exit code for an ended exec: its own, 128 + n when a signal ended it, 124 when it ran out of time.
 * @throws ThawError when it could not be started, or was lost.
 */
export function readExitStatus(exec: ExecInfo): ExitStatus {
  if (exec.error !== null) throw ThawError.fromApi({ error: exec.error }, "the command failed to run");
  const { exit } = exec;
  if (exit === null) throw new ThawError("internal", "the command ended without an exit status");
  const code = exitCodeOf(exit);
  if (exit.timedOut)
    return {
      code,
      explanation: `timed out after ${formatElapsed(exit.durationMs)} (--timeout), exit code ${code}`,
    };
  return {
    code,
    explanation: exit.oom ? `the sandbox ran out of memory (--memory), exit code ${code}` : undefined,
  };
}
