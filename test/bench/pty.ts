/** A process in a real terminal, which `script` opens; what the terminal shows is read through xterm. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import xterm from "@xterm/headless";

const DEADLINE_MS = 30_000;
/** Written right before the process takes the place of its shell. */
const MARK = "\x1e";

export interface Pty extends AsyncDisposable {
  pid: number;
  /** When the process was started, on `performance.now()`'s clock. */
  startedAt: number;
  write(keys: string): void;
  /** Bytes that the process has written. */
  bytes(): number;
  /** The lines of the screen, without spaces at their ends. */
  lines(): string[];
  /** Waits until the screen is as wanted. @returns when the bytes came that made it so, on `performance.now()`'s clock */
  until(wanted: (lines: string[]) => boolean): Promise<number>;
}

export interface PtyOptions {
  cols: number;
  rows: number;
  env: Record<string, string | undefined>;
  signal: AbortSignal;
}

interface Waiting {
  wanted: (lines: string[]) => boolean;
  resolve: (at: number) => void;
}

/** What the process writes, as a terminal shows it. */
class Shown {
  readonly #terminal: xterm.Terminal;
  readonly #rows: number;
  #waiting: Waiting | undefined;
  bytes = 0;

  constructor({ cols, rows }: PtyOptions) {
    this.#rows = rows;
    this.#terminal = new xterm.Terminal({ cols, rows, scrollback: 0, allowProposedApi: true });
  }

  take(chunk: Uint8Array): void {
    const at = performance.now();
    this.bytes += chunk.length;
    this.#terminal.write(chunk, () => this.#check(at));
  }

  lines(): string[] {
    const { active } = this.#terminal.buffer;
    return Array.from({ length: this.#rows }, (_, row) => active.getLine(row)?.translateToString(true) ?? "");
  }

  wait(waiting: Waiting): void {
    this.#waiting = waiting;
    this.#check(performance.now());
  }

  #check(at: number): void {
    if (this.#waiting?.wanted(this.lines()) !== true) return;
    this.#waiting.resolve(at);
    this.#waiting = undefined;
  }
}

export async function openPty(argv: readonly string[], options: PtyOptions): Promise<Pty> {
  const { cols, rows, env, signal } = options;
  const shown = new Shown(options);
  const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const command = `stty rows ${rows} cols ${cols} -echo; printf '${MARK}'; exec ${quoted}`;
  const child = spawn("script", ["-q", "-e", "-f", "-E", "never", "-c", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, TERM: "xterm-256color", ...env },
    signal,
  });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const ended = once(child, "close");
  const started = Promise.withResolvers<number>();
  child.stdout.on("data", (chunk: Buffer) => {
    if (chunk.includes(MARK)) started.resolve(performance.now());
    shown.take(chunk);
  });
  /** @throws Error when the process ends, or the deadline passes, before that */
  const within = <T>(promise: Promise<T>): Promise<T> => {
    const timeout = AbortSignal.timeout(DEADLINE_MS);
    const failed = Promise.withResolvers<never>();
    timeout.addEventListener("abort", () =>
      failed.reject(new Error(`the terminal does not show it; it shows:\n${shown.lines().join("\n")}`)),
    );
    const gone = ended.then(() => {
      throw new Error(`${argv.slice(0, 3).join(" ")} ended; it showed:\n${shown.lines().join("\n")}`);
    });
    return Promise.race([promise, failed.promise, gone]);
  };
  const startedAt = await within(started.promise);
  const [pid] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
  return {
    pid: Number(pid),
    startedAt,
    write: (keys) => void child.stdin.write(keys),
    bytes: () => shown.bytes,
    lines: () => shown.lines(),
    until: (wanted) => within(new Promise((resolve) => shown.wait({ wanted, resolve }))),
    [Symbol.asyncDispose]: async () => {
      // `script` ends with the process; ended by a signal itself it would say so on our terminal
      if (child.exitCode === null && child.signalCode === null) killIfThere(Number(pid));
      await ended.catch(() => {});
    },
  };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
