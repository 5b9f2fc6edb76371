/** Errors of the system's calls, as the runner's own. */
import { RunnerError } from "../runner.ts";

/** A full disk becomes `no-space`, other errors of the system `start-failed`; everything else, a signal's reason too, stays as it is. */
export function fromSystemError(error: unknown): unknown {
  if (error instanceof RunnerError || !(error instanceof Error) || !("syscall" in error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const hint = "free disk space, or set THAW_HOME to a folder on another disk";
    return new RunnerError("no-space", `the disk is full: ${error.message}`, { hint, cause: error });
  }
  return new RunnerError("start-failed", error.message, { cause: error });
}
