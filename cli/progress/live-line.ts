import { cutTo } from "../format/width.ts";
import { writeErr } from "../output.ts";

const REDRAW_MS = 100;
const CLEAR = "\r\u001b[K";

/** Whether stderr is a terminal whose last line can be drawn again and again. */
export function canRedraw(): boolean {
  return process.stderr.isTTY === true && !process.env.CI && process.env.TERM !== "dumb";
}

/** A terminal's last line, drawn again while something goes on, and cleared at the end. Elsewhere nothing is drawn. */
export class LiveLine implements Disposable {
  readonly #compose: () => string | undefined;
  readonly #live = canRedraw();
  #timer: NodeJS.Timeout | undefined;
  #drawn = false;

  /** @param compose the line as it is now; undefined while there is none */
  constructor(compose: () => string | undefined) {
    this.#compose = compose;
  }

  /** From now on it is drawn ten times a second. */
  start(): void {
    if (this.#live) this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref();
    this.#draw();
  }

  /** Prints a line that stays, above this one. */
  print(line: string): void {
    this.#clear();
    writeErr(`${line}\n`);
    this.#draw();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#clear();
  }

  #draw(): void {
    if (this.#timer === undefined) return;
    const line = this.#compose();
    if (line === undefined) return this.#clear();
    this.#drawn = true;
    writeErr(CLEAR + cutTo(line, (process.stderr.columns ?? 80) - 1));
  }

  #clear(): void {
    if (this.#drawn) writeErr(CLEAR);
    this.#drawn = false;
  }
}
