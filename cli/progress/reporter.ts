import type { Progress } from "../../client/index.ts";
import { formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";
import { canRedraw, LiveLine } from "./live-line.ts";
import { isQuiet } from "./quiet.ts";

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
  readonly #verbose: boolean;
  #current: { progress: Progress; since: number } | undefined;
  readonly #line = new LiveLine(
    () => this.#current && formatLine(" ", this.#current.progress, performance.now() - this.#current.since),
  );

  constructor(verbose: boolean) {
    this.#verbose = verbose;
  }

  show(progress: Progress): void {
    if (progress.state === "output") {
      if (this.#verbose) this.#line.print(`   ${styleErr("dim", `│ ${cleanText(progress.detail ?? "")}`)}`);
    } else if (progress.state === "started") {
      this.#current = { progress, since: performance.now() };
      // Elsewhere a place in line is told as it changes: the wait may be long.
      if (!canRedraw() && progress.detail !== undefined)
        this.#line.print(`   ${cleanText(`${progress.subject}  ${progress.phase}: ${progress.detail}`)}`);
      this.#line.start();
    } else {
      const elapsedMs = progress.elapsedMs ?? performance.now() - (this.#current?.since ?? performance.now());
      this.#current = undefined;
      this.#line.print(formatLine(styleErr("green", "✓"), progress, elapsedMs));
    }
  }

  [Symbol.dispose](): void {
    this.#current = undefined;
    this.#line[Symbol.dispose]();
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
  return new TextReporter(options.verbose === true);
}
