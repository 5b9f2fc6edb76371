/** Exit codes as shells and timeout(1) have them. */
import { constants } from "node:os";
import type { ExecExit } from "./exec.ts";

/** Of a command that ran out of time. */
export const TIMED_OUT = 124;

/** The exit code of a process that a signal ended: 128 + its number. @param signal with or without `SIG` */
export function signalExitCode(signal: string): number {
  return 128 + (constants.signals[`SIG${signal.replace(/^SIG/, "")}` as NodeJS.Signals] ?? 0);
}

/** The exit code for an ended command: its own, 128 + n when signal n ended it, 124 when it ran out of time. */
export function exitCodeOf({ timedOut, signal, code }: ExecExit): number {
  if (timedOut) return TIMED_OUT;
  return signal === null ? (code ?? 125) : signalExitCode(signal);
}
