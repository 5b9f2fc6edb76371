/** Who did what, append-only, one JSON object a line. Never blocks or fails what it records. */
import { appendFile } from "node:fs/promises";

export class Audit {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  note(verb: string, target: string, details: Record<string, unknown> = {}): void {
    const line = `${JSON.stringify({ time: new Date().toISOString(), verb, target, ...details })}\n`;
    this.#last = this.#last.then(() => appendFile(this.#path, line, { mode: 0o600 })).catch(() => {});
  }

  async flush(): Promise<void> {
    await this.#last;
  }
}
