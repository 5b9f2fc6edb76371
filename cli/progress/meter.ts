import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { canRedraw, LiveLine } from "./live-line.ts";
import { isQuiet, writeProgress } from "./quiet.ts";

/** What takes less is not told. */
const SHORT_MS = 500;
/** Without a terminal, between two lines. */
const LINE_MS = 5000;

/** Counts the bytes that pass. On a terminal they are its last line; elsewhere a line is printed every few seconds. */
export class Meter implements Disposable {
  readonly #label: string;
  readonly #since = performance.now();
  readonly #line = new LiveLine(() => (this.#elapsedMs < SHORT_MS ? undefined : this.#describe()));
  #timer: NodeJS.Timeout | undefined;
  /** Bytes in all, when known. */
  total: number | undefined;
  bytes = 0;

  /** @param options lines: also without a terminal; default: true */
  constructor(label: string, { lines = true }: { lines?: boolean } = {}) {
    this.#label = cleanText(label);
    if (isQuiet()) return;
    this.#line.start();
    if (lines && !canRedraw())
      this.#timer = setInterval(() => writeProgress(`thaw:${this.#describe()}\n`), LINE_MS).unref();
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
    this.#line[Symbol.dispose]();
  }

  get #elapsedMs(): number {
    return performance.now() - this.#since;
  }

  #describe(): string {
    const { bytes, total = 0 } = this;
    const percent = Math.min(100, Math.floor((bytes / total) * 100));
    const share =
      total === 0 ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)} (${percent}%)`;
    return ` ${this.#label}  ${share}  ${formatSize((bytes / this.#elapsedMs) * 1000)}/s`;
  }
}
