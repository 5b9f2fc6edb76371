import type { Command } from "commander";
import { writeErr } from "../output.ts";

let quiet = false;

/** Whether `-q` was given. */
export function isQuiet(): boolean {
  return quiet;
}

/** Of each verb whose work takes long. */
export function addQuietFlag(command: Command): Command {
  return command.option("-q, --quiet", "print the result only, no progress").on("option:quiet", () => {
    quiet = true;
  });
}

/** Writes a line about work under way to stderr, unless `-q` was given. */
export function writeProgress(line: string): void {
  if (!quiet) writeErr(line);
}
