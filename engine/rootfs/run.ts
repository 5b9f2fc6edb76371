/** Runs one step of making a root file system. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream";
import { unprotect } from "../../host/oom-score.ts";
import { paced } from "../../host/pace.ts";
import { EngineError } from "../errors.ts";

export interface StepOptions {
  /** Beyond PATH and the C locale. */
  environment?: Record<string, string>;
  timeoutMs: number;
  /** Written to stdin. What it throws ends the step, and is what the step rejects with. */
  input?: AsyncIterable<Buffer> | undefined;
  /** Called with each line of stderr. */
  onLine?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Debian package of the tool that is run, for the hint when it is missing. */
  debianPackage: string;
}

const KEPT_LINES = 20;
const MAX_OUTPUT = 4 << 20;

/** stdout. Rejects with `host-not-ready`, `no-space`, `build-failed`, or the signal's reason; the process is gone by then. */
export async function runStep(
  command: readonly [string, ...string[]],
  options: StepOptions,
): Promise<string> {
  options.signal?.throwIfAborted();
  const [file, ...args] = command;
  const child = spawn(file, args, {
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", ...options.environment },
  });
  unprotect(child);
  const last: string[] = [];
  let out = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    out = (out + chunk).slice(-MAX_OUTPUT);
  });
  if (child.stderr)
    createInterface({ input: child.stderr }).on("line", (line) => {
      last.push(line);
      if (last.length > KEPT_LINES) last.shift();
      options.onLine?.(line);
    });
  let inputFault: unknown;
  if (options.input !== undefined && child.stdin)
    pipeline(options.input, child.stdin, (error) => {
      // A program that reads no more tells why by itself.
      if (!error || error.code === "EPIPE" || error.code === "ERR_STREAM_PREMATURE_CLOSE") return;
      inputFault = error;
      kill();
    });
  const kill = (): void => void child.kill("SIGKILL");
  let timedOut = false;
  const waitMs = paced(options.timeoutMs);
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, waitMs);
  options.signal?.addEventListener("abort", kill, { once: true });
  try {
    const code = await new Promise<number | string>((resolve) => {
      child.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      child.once("close", (status, signal) => resolve(status ?? signal ?? "unknown"));
    });
    if (code === 0) return out;
    options.signal?.throwIfAborted();
    if (inputFault !== undefined) throw inputFault;
    throw failure(file, code, last, { ...options, timeoutMs: waitMs, timedOut });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", kill);
  }
}

function failure(
  file: string,
  code: number | string,
  last: readonly string[],
  { debianPackage, timeoutMs, timedOut }: StepOptions & { timedOut: boolean },
): EngineError {
  const text = last.join("\n");
  if (code === "ENOENT") {
    return new EngineError("host-not-ready", `${file} is not installed`, {
      hint: `apt-get install ${debianPackage}`,
    });
  }
  // 127: the wrapper found no such command.
  if (code === 127)
    return new EngineError("host-not-ready", text, { hint: `apt-get install ${debianPackage}` });
  if (timedOut)
    return new EngineError(
      "timeout",
      `the root file system was not made within ${timeoutMs / 60_000} minutes`,
    );
  if (/No space left on device|not enough free space/i.test(text)) {
    return new EngineError("no-space", "the disk became full during the build of the root file system", {
      hint: "free space, or set THAW_HOME",
    });
  }
  const hint = /NO_PUBKEY|Missing key [0-9A-F]{8}/.test(text)
    ? "the host's keyring lacks the key of this Debian suite: apt-get install debian-archive-keyring, a newer one"
    : undefined;
  return new EngineError("build-failed", `the root file system could not be made (${code})`, {
    hint,
    details: [...last],
  });
}
