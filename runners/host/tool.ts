/** Runs a host tool to its end, with an error that says what to install when it is missing. */

import type { Readable, Writable } from "node:stream";
import { defined } from "../../api/defined.ts";
import { unprotect } from "../../host/oom-score.ts";
import { paced } from "../../host/pace.ts";
import { RunnerError, type RunnerErrorCode } from "../runner.ts";

export interface ToolOptions {
  cwd?: string;
  /** All of its stdin. Default: none. */
  input?: string;
  /** What follows `input` once stdout shows that all of it was answered: a tool that is told to end drops what was not read yet. */
  last?: { input: string; after: (stdout: string) => boolean };
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Debian package that has the tool. */
  debianPackage: string;
  /** Code of the error when the tool fails. Default `start-failed`. */
  code?: RunnerErrorCode;
  /** For a tool that exits with 0 when it fails: what it says went wrong on stderr; null when nothing did. */
  complaint?: ((stderr: string) => string | null) | undefined;
}

/** stdout of `command`, at most 16 MiB. Rejects with a `RunnerError` that carries the last lines of stderr. */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions,
): Promise<string> {
  const timeoutMs = paced(options.timeoutMs);
  const { execa } = await import("execa");
  const process = execa(command, args, {
    ...defined({ cwd: options.cwd, cancelSignal: options.signal }),
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    env: { LC_ALL: "C.UTF-8" },
    ...stdinOf(options),
    maxBuffer: 16 * 1024 * 1024,
    reject: false,
  });
  unprotect(process);
  if (options.last !== undefined) converse(process, options.input ?? "", options.last);
  const result = await process;
  const complaint = result.failed ? null : (options.complaint?.(result.stderr) ?? null);
  if (!result.failed && complaint === null) return result.stdout;
  options.signal?.throwIfAborted();
  if (result.code === "ENOENT") {
    throw new RunnerError("missing-tool", `${command} is not installed`, {
      hint: `apt-get install ${options.debianPackage}`,
    });
  }
  if (result.timedOut)
    throw new RunnerError("timeout", `${command} did not end within ${timeoutMs / 1000} s`);
  const tail = complaint ?? result.stderr.trim().split("\n").slice(-5).join("\n");
  throw new RunnerError(
    options.code ?? "start-failed",
    `${command} ${args[0] ?? ""} failed: ${tail || result.shortMessage}`,
  );
}

function stdinOf({ input, last }: ToolOptions) {
  if (last !== undefined) return { stdin: "pipe" as const };
  return input === undefined ? { stdin: "ignore" as const } : { input };
}

function converse(
  { stdin, stdout }: { stdin: Writable | null; stdout: Readable | null },
  input: string,
  last: NonNullable<ToolOptions["last"]>,
): void {
  // What ends early has answered what it could.
  stdin?.on("error", () => {});
  stdin?.write(input);
  let seen = "";
  stdout?.on("data", (chunk: Buffer | string) => {
    seen += chunk.toString();
    if (stdin?.writableEnded === false && last.after(seen)) stdin.end(last.input);
  });
}
