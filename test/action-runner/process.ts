/** One node process of an action, started, read and cancelled as actions/runner's ProcessInvoker.cs does it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { measurePace } from "../../host/pace.ts";
import { CommandManager } from "./commands.ts";
import { LineReader } from "./lines.ts";

const SIGINT_WAIT_MS = 7500;
const SIGTERM_WAIT_MS = 2500;
/** How long a runner waits for pipes that somebody else still holds when the process is gone. */
const PIPES_WAIT_MS = 5000;
const LOOK_MS = 500;
const SAMPLE_MS = 100;
/** Of a longer log the middle is left out. */
const KEPT_CHARACTERS = 8 << 20;

export interface ProcessOptions {
  node: string;
  script: string;
  cwd: string;
  env: Record<string, string>;
  /** Hears every line that the log would show, live. */
  onLine?: ((line: string) => void) | undefined;
}

export interface ProcessResult {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  cancelled: boolean;
  /** The lines that the log would show, commands left out. */
  log: string[];
  /** Lines that `log` leaves out. */
  leftOut: number;
  bytes: number;
  /** From start to exit. */
  ms: number;
  /** From exit until the pipes were closed: what is over 5 s holds the job. */
  heldMs: number;
  /** The largest resident set seen. */
  peakRssMib: number;
}

export class ActionProcess {
  readonly commands = new CommandManager();
  readonly result: Promise<ProcessResult>;
  readonly #child: ChildProcess;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #waiting: { stdout: string[]; stderr: string[] } = { stdout: [], stderr: [] };
  readonly #log: string[] = [];
  readonly #exited: Promise<void>;
  #characters = 0;
  #leftOut = 0;
  #bytes = 0;
  #pumping = false;
  #cancelling: Promise<void> | undefined;

  constructor({ node, script, cwd, env, onLine }: ProcessOptions) {
    this.#onLine = onLine;
    // A group of its own: Ctrl-C on this terminal is not what a runner sends.
    this.#child = spawn(node, [script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#exited = new Promise((resolve, reject) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", reject);
    });
    this.result = this.#run();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL: to this process alone, not to what it started. */
  cancel(): Promise<void> {
    this.#cancelling ??= this.#cancel();
    return this.#cancelling;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #cancel(): Promise<void> {
    for (const [signal, ms] of [
      ["SIGINT", SIGINT_WAIT_MS],
      ["SIGTERM", SIGTERM_WAIT_MS],
    ] as const) {
      this.#child.kill(signal);
      if (await this.#exitsWithin(ms)) return;
    }
    this.#child.kill("SIGKILL");
  }

  /** On a busy host it waits as much longer as Node takes to start meanwhile. */
  async #exitsWithin(ms: number): Promise<boolean> {
    const exited = this.#exited.then(() => true);
    for (let leftMs = ms; leftMs > 0; ) {
      const start = performance.now();
      const started = once(spawn(process.execPath, ["-e", ""], { stdio: "ignore" }), "exit").then(
        () => performance.now() - start,
      );
      const over = Promise.all([started, sleep(Math.min(leftMs, LOOK_MS))]);
      if (await Promise.race([exited, over.then(() => false)])) return true;
      leftMs -= (performance.now() - start) / measurePace(await started);
    }
    return false;
  }

  async #run(): Promise<ProcessResult> {
    const start = performance.now();
    let peakRssMib = 0;
    const sample = (): void => {
      peakRssMib = Math.max(peakRssMib, readPeakMib(this.pid));
    };
    const sampling = setInterval(sample, SAMPLE_MS);
    const closed = Promise.all([this.#read("stdout"), this.#read("stderr")]);
    try {
      // As a runner does it: what the process starts inherits it.
      writeFileSync(`/proc/${this.pid}/oom_score_adj`, "500");
    } catch {
      // The process is gone already, or isn't ours to change.
    }
    try {
      await this.#exited;
    } finally {
      clearInterval(sampling);
    }
    const exited = performance.now();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, PIPES_WAIT_MS)))]);
    clearTimeout(timer);
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    this.#pump();
    await this.#cancelling;
    return {
      exitCode: this.#child.exitCode,
      signal: this.#child.signalCode,
      cancelled: this.#cancelling !== undefined,
      log: this.#log,
      leftOut: this.#leftOut,
      bytes: this.#bytes,
      ms: exited - start,
      heldMs: performance.now() - exited,
      peakRssMib,
    };
  }

  async #read(name: "stdout" | "stderr"): Promise<void> {
    const lines = new LineReader((line) => this.#waiting[name].push(line));
    const stream = this.#child[name];
    if (stream === null) return;
    try {
      for await (const bytes of stream) {
        this.#bytes += (bytes as Buffer).length;
        lines.write(bytes as Buffer);
        this.#pumpSoon();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
    }
    lines.end();
    this.#pumpSoon();
  }

  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => this.#pump());
  }

  /** Lines of stderr that wait are handled before those of stdout. */
  #pump(): void {
    this.#pumping = false;
    for (const name of ["stderr", "stdout"] as const)
      for (const line of this.#waiting[name].splice(0)) {
        if (!this.commands.process(line, name)) this.#keep(line);
      }
  }

  #keep(line: string): void {
    this.#onLine?.(line);
    this.#characters += line.length;
    this.#log.push(line);
    if (this.#characters <= KEPT_CHARACTERS) return;
    const middle = this.#log.splice(this.#log.length >> 2, this.#log.length >> 1);
    this.#characters -= middle.reduce((sum, { length }) => sum + length, 0);
    this.#leftOut += middle.length;
  }
}

function readPeakMib(pid: number): number {
  try {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(found ?? 0) / 1024;
  } catch {
    return 0;
  }
}
