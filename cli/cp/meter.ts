import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { writeErr } from "../output.ts";
import { isQuiet } from "../progress/quiet.ts";

const quietMs = 500;
const redrawMs = 100;

/** Counts a copy's bytes and, on a terminal, shows them once it takes longer than half a second. */
export class Meter implements Disposable {
  readonly #label: string;
  readonly #live: boolean;
  readonly #since = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #drawn = false;
  /** Bytes in all, when known. */
  total: number | undefined;
  bytes = 0;

  constructor(label: string, live: boolean = process.stderr.isTTY === true && !isQuiet()) {
    this.#label = cleanText(label);
    this.#live = live;
    if (live) this.#timer = setInterval(() => this.#draw(), redrawMs).unref();
  }

  /** Passes a stream on and counts it. */
  async *count<T extends Uint8Array>(stream: AsyncIterable<T>): AsyncGenerator<T, void> {
    for await (const chunk of stream) {
      this.bytes += chunk.length;
      yield chunk;
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#drawn) writeErr("\r\x1b[K");
  }

  #draw(): void {
    const seconds = (performance.now() - this.#since) / 1000;
    if (!this.#live || seconds * 1000 < quietMs) return;
    this.#drawn = true;
    const share =
      this.total === undefined || this.total === 0
        ? formatSize(this.bytes)
        : `${formatSize(this.bytes)} of ${formatSize(this.total)} (${Math.min(100, Math.floor((this.bytes / this.total) * 100))}%)`;
    const line = ` ${this.#label}  ${share}  ${formatSize(this.bytes / seconds)}/s`;
    writeErr(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }
}
