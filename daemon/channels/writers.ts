/** Who writes to an exec: one connection at a time. The others watch. */
import type { Exec } from "../../engine/execs/exec.ts";
import type { Connection } from "./connection.ts";

interface Writer {
  connection: Connection;
  /** What the client calls itself. */
  name: string;
}

export class Writers {
  readonly #writers = new WeakMap<Exec, Writer>();

  /**
   * Makes `connection` the exec's writer if there is none, or when it takes over; the one before is told.
   * @returns who writes instead; null when `connection` does.
   */
  claim(exec: Exec, connection: Connection, as: { name: string; takeover: boolean }): string | null {
    const { name, takeover } = as;
    const before = this.#writers.get(exec);
    if (before?.connection.isOpen) {
      if (!takeover) return before.name;
      before.connection.stopWriting();
      before.connection.status({ type: "writer-lost", to: name });
    }
    this.#writers.set(exec, { connection, name });
    connection.write(exec);
    connection.onClose(() => {
      if (this.#writers.get(exec)?.connection === connection) this.#writers.delete(exec);
    });
    // What the one before held back no longer counts.
    exec.releaseHeld();
    return null;
  }

  /** What the exec's writer calls itself; null when nobody writes. */
  nameOf(exec: Exec): string | null {
    return this.#writers.get(exec)?.name ?? null;
  }
}

/** One for the daemon: execs are its only keys. */
export const writers = new Writers();
