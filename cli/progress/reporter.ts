import type { Progress } from "../../client/index.ts";
import { formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";
import { isQuiet } from "./quiet.ts";

const redrawMs = 100;
const clearLine = "\r\u001b[K";

/** Shows what a build is doing. */
export interface ProgressReporter extends Disposable {
  show(progress: Progress): void;
}

function formatLine(mark: string, progress: Progress, elapsedMs: number): string {
  const what = cleanText(`${progress.subject}  ${progress.phase}`).padEnd(30);
  const line = ` ${mark} ${what} ${formatElapsed(elapsedMs).padStart(7)}`;
  if (progress.state !== "done" || !progress.detail) return line;
  return `${line}  ${styleErr("dim", cleanText(progress.detail))}`;
}

/** On a terminal the running phase is a live line; elsewhere each phase is a plain line when it is done. */
class TextReporter implements ProgressReporter {
  readonly #live: boolean;
  readonly #verbose: boolean;
  #current: { progress: Progress; since: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(live: boolean, verbose: boolean) {
    this.#live = live;
    this.#verbose = verbose;
  }

  show(progress: Progress): void {
    if (progress.state === "output") {
      if (this.#verbose) this.#print(`   ${styleErr("dim", `│ ${cleanText(progress.detail ?? "")}`)}`);
    } else if (progress.state === "started") {
      this.#current = { progress, since: performance.now() };
      // Elsewhere a place in line is told as it changes: the wait may be long.
      if (!this.#live && progress.detail !== undefined)
        this.#print(`   ${cleanText(`${progress.subject}  ${progress.phase}: ${progress.detail}`)}`);
      if (this.#live) this.#timer ??= setInterval(() => this.#draw(), redrawMs);
      this.#draw();
    } else {
      const elapsedMs = progress.elapsedMs ?? performance.now() - (this.#current?.since ?? performance.now());
      this.#current = undefined;
      this.#print(formatLine(styleErr("green", "✓"), progress, elapsedMs));
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#live && this.#current !== undefined) writeErr(clearLine);
    this.#current = undefined;
  }

  #print(line: string): void {
    writeErr(`${this.#live ? clearLine : ""}${line}\n`);
    this.#draw();
  }

  #draw(): void {
    if (!this.#live || this.#current === undefined) return;
    const { progress, since } = this.#current;
    const line = formatLine(" ", progress, performance.now() - since);
    writeErr(`${clearLine}${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }
}

/** Each step as a line of JSON on stderr. */
const jsonReporter: ProgressReporter = {
  show: (progress) => writeErr(`${JSON.stringify(progress)}\n`),
  [Symbol.dispose]: () => {},
};

const silentReporter: ProgressReporter = { show: () => {}, [Symbol.dispose]: () => {} };

/** The reporter for stderr as it is: live on a terminal, plain lines elsewhere, JSON lines when asked for, nothing with `-q`. */
export function createReporter(options: { json?: boolean; verbose?: boolean }): ProgressReporter {
  if (isQuiet()) return silentReporter;
  if (options.json === true) return jsonReporter;
  const live = process.stderr.isTTY === true && !process.env.CI && process.env.TERM !== "dumb";
  return new TextReporter(live, options.verbose === true);
}
