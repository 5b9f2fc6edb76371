/** Commands and their ends, in words. */
import type { Capture } from "./capture.ts";
import { cleanText } from "./clean-text.ts";
import { formatElapsed } from "./duration.ts";
import type { Exec } from "./exec.ts";
import { isSshServer, LOGIN_SHELL } from "./own-commands.ts";

const LONGEST_COMMAND = 48;

/** A command on one line, words quoted where a shell would need it, cut to fit. Scripts of thaw's own go by what they are for. */
export function formatCommand(argv: readonly string[], longest = LONGEST_COMMAND): string {
  if (argv.join("\0") === LOGIN_SHELL.join("\0")) return "login shell";
  if (isSshServer({ argv })) return "ssh connection";
  const text = cleanText(argv.map(quoteWord).join(" "));
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** A word as a shell takes it. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** How it ended, in a word or two: `exit 1`, `SIGSEGV`, `timeout`. */
export function formatTrigger({ trigger, exec, crash }: Pick<Capture, "trigger" | "exec" | "crash">): string {
  if (trigger === "exit") return `exit ${exec?.exit?.code ?? "?"}`;
  if (trigger === "signal")
    return `SIG${crash?.signal ?? exec?.exit?.signal ?? "?"}`.replace("SIGSIG", "SIG");
  return trigger;
}

/** How a captured command ended and when: `exited 1 after 41.0s`. undefined: it was taken of no command. */
export function formatCapturedEnd({ exec, trigger }: Pick<Capture, "exec" | "trigger">): string | undefined {
  if (exec === null) return undefined;
  const end = exec.exit === null ? `alive at the freeze (${trigger})` : formatEnd(exec.exit);
  return `${end} after ${formatElapsed(exec.durationMs)}`;
}

/** How an exec ended, as a verb: `exited 1`, `was ended by SIGSEGV`, `ran out of time`. */
export function formatEnd(exit: Exec["exit"]): string {
  if (exit === null) return "ended with its machine";
  if (exit.timedOut) return "ran out of time";
  if (exit.oom) return "ran out of memory";
  return exit.signal === null ? `exited ${exit.code}` : `was ended by SIG${exit.signal.replace(/^SIG/, "")}`;
}

/** Whether an exec runs, or how it ended. */
export function formatExecState({ state, exit, error }: Exec): string {
  return state === "starting" || state === "running" ? state : (error?.message ?? formatEnd(exit));
}
