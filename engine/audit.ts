/** Who did what, from where, append-only, one JSON object a line. Never blocks or fails what it records. */
import { appendFile } from "node:fs/promises";
import { currentCaller } from "./caller.ts";

export class Audit {
  readonly #path: string;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  note(verb: string, target: string, details: Record<string, unknown> = {}): void {
    const time = new Date().toISOString();
    const line = `${JSON.stringify({ time, verb, target, by: currentCaller(), ...details })}\n`;
    this.#last = this.#last.then(() => appendFile(this.#path, line, { mode: 0o600 })).catch(() => {});
  }

  async flush(): Promise<void> {
    await this.#last;
  }
}
