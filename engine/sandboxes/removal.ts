/** The end of a sandbox. A machine that does not die keeps it listed as `removing`: it is tried again by itself, and by everyone who asks. */
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asEngineError } from "../as-engine-error.ts";
import { EngineError } from "../errors.ts";
import { Retry } from "../retry.ts";
import { RECORD_FILE } from "./dir.ts";

/** What it needs of its sandbox. Every step may be repeated. */
export interface RemovalHost {
  readonly name: string;
  readonly dir: string;
  /** From here on it is being removed, in its record too. */
  begin(): Promise<void>;
  /** Ends what goes on in it and its machine. Rejects when the machine does not die. */
  endMachine(why: EngineError): Promise<void>;
  /** It could not be removed now. */
  delayed(reason: string): void;
  /** Nothing is left of it. */
  done(why: EngineError): Promise<void>;
}

export class Removal {
  readonly #host: RemovalHost;
  /** What its execs end with. */
  readonly why: EngineError;
  readonly #retry = new Retry(() =>
    this.try().then(
      () => true,
      () => false,
    ),
  );
  #attempt: Promise<void> | null = null;
  #begun = false;
  #done = false;

  constructor(host: RemovalHost, why: EngineError) {
    this.#host = host;
    this.why = why;
  }

  /** Everyone who asks waits for the same try. Rejects when it fails: then it is tried again later. */
  try(): Promise<void> {
    if (this.#done) return Promise.resolve();
    this.#attempt ??= this.#try().finally(() => {
      this.#attempt = null;
    });
    return this.#attempt;
  }

  /** The daemon leaves; the next one goes on. */
  leave(): void {
    this.#retry.stop();
  }

  async #try(): Promise<void> {
    const host = this.#host;
    try {
      if (!this.#begun) await host.begin();
      this.#begun = true;
      await host.endMachine(this.why);
      await clearAway(host.dir);
      this.#done = true;
      await host.done(this.why);
    } catch (error) {
      if (this.#done) throw error;
      const { code, message, hint } = asEngineError(error);
      host.delayed(message);
      this.#retry.start();
      const again = "thaw keeps trying; thaw ls shows the sandbox until it is removed";
      throw new EngineError(
        code === "internal" ? "timeout" : code,
        `sandbox ${host.name} is not removed yet: ${message}`,
        { hint: hint === undefined ? again : `${hint}; ${again}`, cause: error },
      );
    }
  }
}

/** Its record last, so that what can't be removed stays listed; a crash at the end leaves a folder that the next start clears. */
async function clearAway(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => []))
    if (name !== RECORD_FILE) await rm(join(dir, name), { recursive: true, force: true });
  const grave = join(dirname(dir), `.${basename(dir)}`);
  await rename(dir, grave).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await rm(grave, { recursive: true, force: true });
}
