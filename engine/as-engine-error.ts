/** What runners and agents throw, in the engine's words. */
import type { ErrorCode } from "../api/error-codes.ts";
import { RunnerError } from "../runners/runner.ts";
import { EngineError } from "./errors.ts";

const RUNNER_CODES: Record<RunnerError["code"], ErrorCode> = {
  "missing-tool": "host-not-ready",
  "no-space": "no-space",
  "no-memory": "no-capacity",
  "start-failed": "host-not-ready",
  timeout: "timeout",
  "machine-gone": "machine-ended",
  unresponsive: "timeout",
  incompatible: "snapshot-incompatible",
  "corrupt-snapshot": "snapshot-corrupt",
  unsupported: "unsupported",
};

/** What the host's file system refuses, and what to look at. */
const HOST_FAULTS: Readonly<Record<string, string>> = {
  EROFS: "the file system of the state folder is read-only: thaw doctor",
  EPERM: "a file of the state folder is immutable, or another user's: lsattr, ls -l",
  EACCES: "a file of the state folder is another user's: ls -l",
  EBUSY: "something is mounted in the state folder: findmnt",
  EIO: "the disk of the state folder has errors: dmesg",
};

/** Whether something failed because a disk, a quota or the host's own limit had no room for it. */
export function isNoSpace(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "no-space" || code === "ENOSPC" || code === "EDQUOT";
}

/** What a runner or an agent throws, in the engine's words. */
export function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const { message, console: consoleTail } = error as Error & { console?: string };
  const details = consoleTail ? { details: consoleTail.trimEnd().split("\n").slice(-10) } : {};
  if (error instanceof RunnerError)
    return new EngineError(RUNNER_CODES[error.code], message, { hint: error.hint, cause: error });
  const { name, kind } = error as { name?: string; kind?: string };
  if (name === "SessionError")
    return new EngineError(kind === "timeout" ? "agent-timeout" : "agent-fault", message, {
      ...details,
      cause: error,
    });
  if (name === "AgentRefusal")
    return new EngineError(kind === "not-found" ? "not-found" : "exec-refused", message, { cause: error });
  if (isNoSpace(error))
    return new EngineError("no-space", `the disk of the state folder is full: ${message}`, {
      hint: "thaw df; thaw prune --dry-run",
      cause: error,
    });
  const hint = HOST_FAULTS[(error as { code?: string }).code ?? ""];
  if (hint !== undefined) return new EngineError("host-not-ready", message, { hint, cause: error });
  return new EngineError("internal", message ?? String(error), { cause: error });
}
