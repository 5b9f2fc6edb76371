/** How much output is kept: of each sandbox, and on the host. The oldest ended execs go first; one that runs has a limit of its own (log.ts). */
import type { Exec } from "./exec.ts";

export interface LogLimits {
  sandboxBytes: number;
  hostBytes: number;
}

/** What it needs of a sandbox. */
export interface LogKeeper {
  readonly id: string;
  readonly execs: ReadonlyMap<string, Exec>;
  dropExec(exec: Exec): Promise<void>;
}

export class LogBudget {
  limits: LogLimits;
  /** Bytes of each sandbox as last counted. */
  readonly #kept = new Map<string, number>();
  /** One after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(limits: LogLimits) {
    this.limits = limits;
  }

  /** An exec of `sandbox` has ended: drops what is too much. `all`: where else there may be something to drop. */
  settle(sandbox: LogKeeper, all: () => readonly LogKeeper[]): Promise<void> {
    this.#turn = this.#turn.then(() => this.#settle(sandbox, all)).catch(() => {});
    return this.#turn;
  }

  forget(id: string): void {
    this.#kept.delete(id);
  }

  async #settle(sandbox: LogKeeper, all: () => readonly LogKeeper[]): Promise<void> {
    await this.#shrink(sandbox, this.limits.sandboxBytes);
    let total = 0;
    for (const bytes of this.#kept.values()) total += bytes;
    if (total <= this.limits.hostBytes) return;
    const largestFirst = [...all()].sort((a, b) => (this.#kept.get(b.id) ?? 0) - (this.#kept.get(a.id) ?? 0));
    for (const one of largestFirst) {
      const before = this.#kept.get(one.id) ?? 0;
      await this.#shrink(one, Math.max(0, before - (total - this.limits.hostBytes)));
      total -= before - (this.#kept.get(one.id) ?? 0);
      if (total <= this.limits.hostBytes) return;
    }
  }

  async #shrink(sandbox: LogKeeper, limit: number): Promise<void> {
    const sized = await Promise.all(
      [...sandbox.execs.values()].map(async (exec) => ({ exec, bytes: await exec.log.storedBytes() })),
    );
    let total = sized.reduce((sum, { bytes }) => sum + bytes, 0);
    // The newest stays, whatever it wrote: somebody has just seen it end.
    for (const { exec, bytes } of sized.slice(0, -1)) {
      if (total <= limit) break;
      if (!exec.isOver) continue;
      await sandbox.dropExec(exec);
      total -= bytes;
    }
    this.#kept.set(sandbox.id, total);
  }
}
