import type { ExecInfo } from "../../client/index.ts";
import { styleErr, writeErr } from "../output.ts";
import { writeResult } from "../result-file.ts";
import { sayCaptured } from "./captured.ts";
import { readExitStatus } from "./exit-status.ts";

/** Says that an exec was left running, and how to come back. */
export function sayLeft(sandbox: string, exec: ExecInfo): void {
  writeErr(`${styleErr("dim", `thaw: it runs on · thaw attach ${sandbox} ${exec.id}`)}\n`);
}

/** Reports how an exec ended. @returns the exit code: the command's own, or thaw's; 0 when the user left. */
export function reportEnd(exec: ExecInfo | undefined, flags: { json?: boolean }): number {
  if (exec === undefined) return 0;
  if (exec.error !== null && flags.json !== true) sayCaptured(exec);
  const status = readExitStatus(exec);
  const result = { type: "result", exitCode: status.code, exec } as const;
  const written = writeResult(result);
  if (flags.json === true) {
    if (!written) writeErr(`${JSON.stringify(result)}\n`);
  } else {
    if (status.explanation !== undefined) writeErr(`${styleErr("red", "thaw:")} ${status.explanation}\n`);
    sayCaptured(exec);
  }
  return status.code;
}
