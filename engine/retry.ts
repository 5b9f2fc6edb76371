/** Work that failed and is tried again by itself, with growing pauses, until it succeeds or is called off. */
import { callingAsDaemon } from "./caller.ts";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export class Retry {
  readonly #work: () => Promise<boolean>;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #stopped = false;

  /** @param work resolves with whether it is done; must not reject */
  constructor(work: () => Promise<boolean>) {
    this.#work = work;
  }

  /** Tries after a pause, unless a try is planned already. */
  start(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void callingAsDaemon(this.#work).then((done) => {
        if (done) this.#pauseMs = FIRST_PAUSE_MS;
        else this.start();
      });
    }, this.#pauseMs);
    this.#timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** For good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
