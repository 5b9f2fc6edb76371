import { ThawError } from "../../client/index.ts";
import type { RunWords } from "./plan.ts";

/** How a command that was given without `--` should have been. */
export function needsDashes(message: string, command: readonly string[]): ThawError {
  return new ThawError("usage", message, {
    hint: command[0]?.startsWith("-")
      ? "thaw run --help; put a command after --"
      : `put a command after --, as in: thaw run -- ${command.join(" ")}`,
  });
}

/**
 * Tells a run's name from a command: what is behind the first `--` of the command line is the command.
 * @param operands what commander found: the name, and the command without its `--`.
 * @throws ThawError `usage` when more than a name stands before it.
 */
export function splitWords(operands: readonly string[], line: readonly string[]): RunWords {
  const dashes = line.indexOf("--");
  const behind = dashes < 0 ? 0 : line.length - dashes - 1;
  const before = operands.slice(0, operands.length - behind);
  if (before.length > 1) throw needsDashes("there is one run at a time", operands);
  const command = operands.slice(before.length);
  return { run: before[0], command: command.length === 0 ? undefined : command };
}
