/** Bytes of output as lines, of which the last ones are kept. */

const MAX_LINE = 4000;

/** One channel's lines. A line that has not ended yet is the last one. */
export class Tail {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #kept: number;
  #lines: string[] = [];
  #rest = "";
  /** Lines that came before those that are kept. */
  dropped = 0;

  constructor(kept: number) {
    this.#kept = kept;
  }

  push(data: Uint8Array): void {
    const parts = (this.#rest + this.#decoder.decode(data, { stream: true })).split("\n");
    // what is longer is shown cut
    this.#rest = (parts.pop() ?? "").slice(0, MAX_LINE + 1);
    this.add(...parts.slice(-this.#kept));
    this.dropped += Math.max(0, parts.length - this.#kept);
  }

  /** Whole lines, such as remarks. */
  add(...lines: readonly string[]): void {
    this.#lines.push(...lines.map((line) => line.slice(0, MAX_LINE + 1)));
    const over = this.#lines.length - this.#kept;
    if (over <= 0) return;
    this.#lines = this.#lines.slice(over);
    this.dropped += over;
  }

  get lines(): readonly string[] {
    return this.#rest === "" ? [...this.#lines] : [...this.#lines, this.#rest];
  }
}
