/** Captures of one sandbox's execs: at their end, at a crash, before a command. The machine is not torn down while one is taken. */
import { EngineError } from "../errors.ts";
import type { Ending } from "../execs/ending.ts";
import type { Exec } from "../execs/exec.ts";
import type { Capturer } from "./capturer.ts";
import type { Subject } from "./subject.ts";

export class CaptureHooks {
  readonly #sandbox: Subject;
  readonly #capturer: Capturer | null;
  readonly #takes = new Set<Promise<unknown>>();

  constructor(sandbox: Subject, capturer: Capturer | null) {
    this.#sandbox = sandbox;
    this.#capturer = capturer;
  }

  /** Whether one is being taken. */
  get busy(): boolean {
    return this.#takes.size > 0;
  }

  /** Resolves when what is being taken is taken, or failed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#takes);
  }

  /** Has the exec's end and its crashes captured as it asks. */
  follow(exec: Exec): void {
    const sandbox = this.#sandbox;
    const capturer = this.#capturer;
    if (!capturer) return;
    exec.onEnding = async (ending) => {
      const console = ending.trigger === "panic" ? await sandbox.consoleLines() : [];
      const { id, changedBytes, pauseMs } = await this.#whileTaking(
        capturer.take(sandbox, { ending, exec, console }),
      );
      return { id, changedBytes, pauseMs };
    };
    exec.onCrash = (crash) =>
      this.#whileTaking(
        capturer.takeProvisional(sandbox, { ending: { trigger: "signal", exit: null }, exec, crash }),
      );
  }

  /** Before an exec that may be captured: its checkpoint, when it asks for one. Fails the exec when that can't be taken. */
  async prepare(exec: Exec): Promise<void> {
    this.#capturer?.prepare(this.#sandbox);
    if (!exec.record.checkpoint) return;
    try {
      await this.#capturer?.checkpoint(this.#sandbox);
    } catch (error) {
      const { message } = error as Error;
      await exec.fail(error instanceof EngineError ? error : new EngineError("internal", message));
      throw error;
    }
  }

  /** Captures every exec that runs and asks for this ending. */
  async captureAll(ending: Ending): Promise<void> {
    const alive = [...this.#sandbox.execs.values()].filter((exec) => !exec.isOver);
    await Promise.all(alive.map((exec) => exec.capture(ending)));
  }

  async #whileTaking<T>(work: Promise<T>): Promise<T> {
    this.#takes.add(work);
    try {
      return await work;
    } finally {
      this.#takes.delete(work);
    }
  }
}
