/** Runs processes and measures them whole: from the spawn to the end. */
import { spawn } from "node:child_process";

const DEADLINE_MS = 120_000;
const STDERR_TAIL_CHARS = 2000;

export interface CommandOptions {
  env?: Record<string, string | undefined>;
  signal: AbortSignal;
  /** Counts stdout instead of throwing it away. */
  onStdout?: (chunk: Buffer) => void;
  /** Where stdout goes instead. */
  stdout?: number;
  deadlineMs?: number;
}

/** Milliseconds the process took. Rejects when it ends with anything but 0, with the last it said on stderr. */
export function runTimed(argv: readonly [string, ...string[]], options: CommandOptions): Promise<number> {
  const { onStdout, deadlineMs = DEADLINE_MS } = options;
  const [file, ...args] = argv;
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["ignore", onStdout ? "pipe" : (options.stdout ?? "ignore"), "pipe"],
      env: { ...process.env, ...options.env },
      signal: options.signal,
      timeout: deadlineMs,
    });
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARS);
    });
    if (onStdout) child.stdout?.on("data", onStdout);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) return resolve(performance.now() - start);
      reject(new Error(`${argv.join(" ").slice(0, 100)}: ${signal ?? `exit ${code}`}: ${stderr.trim()}`));
    });
  });
}

/** What a process prints, trimmed. */
export async function outputOf(
  argv: readonly [string, ...string[]],
  options: CommandOptions,
): Promise<string> {
  const chunks: Buffer[] = [];
  await runTimed(argv, { ...options, onStdout: (chunk) => chunks.push(chunk) });
  return Buffer.concat(chunks).toString("utf8").trim();
}
