/** Sandboxes that end with their client. Holders are connections; when the last lets go, the sandbox is removed. */

import { paced } from "../host/pace.ts";

/** How long a client may take to come back, once there is a daemon that it could come back to. */
const RETURN_MS = 10_000;
/** How long a machine that ended by itself stays visible to its client. */
const AFTER_END_MS = 5_000;

export class Leases {
  readonly #remove: (id: string) => Promise<void>;
  readonly #holders = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Waited for from the moment on when clients can come back; null since then. */
  #awaited: Set<string> | null = new Set();
  #closed = false;

  constructor(remove: (id: string) => Promise<void>) {
    this.#remove = remove;
  }

  /** A client holds on. Returns how it lets go; the last one to do so ends the sandbox, at once or unless somebody comes within `inMs`. */
  hold(id: string): (inMs?: number) => void {
    this.#clearTimer(id);
    this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1);
    let held = true;
    return (inMs = 0) => {
      if (!held) return;
      held = false;
      const holders = this.#holders.get(id);
      // Not leased any more: it was kept, or is gone.
      if (holders === undefined) return;
      this.#holders.set(id, holders - 1);
      if (holders !== 1) return;
      if (inMs === 0) this.#end(id);
      else this.#arm(id, inMs);
    };
  }

  /** Its client is away: it must come back in time, counted from when it can. */
  awaitReturn(id: string): void {
    if (this.#awaited) this.#awaited.add(id);
    else this.#arm(id, paced(RETURN_MS));
  }

  /** From here on clients can come back. */
  open(): void {
    const awaited = this.#awaited ?? [];
    this.#awaited = null;
    for (const id of awaited) this.#arm(id, paced(RETURN_MS));
  }

  /** Its machine ended; a client that is not there any more will not remove it. */
  afterEnd(id: string): void {
    if (!this.#holders.get(id)) this.#arm(id, paced(AFTER_END_MS));
  }

  forget(id: string): void {
    this.#awaited?.delete(id);
    this.#clearTimer(id);
    this.#holders.delete(id);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#holders.clear();
  }

  #arm(id: string, ms: number): void {
    this.#clearTimer(id);
    if (this.#closed) return;
    this.#timers.set(
      id,
      setTimeout(() => this.#end(id), ms),
    );
  }

  /** A removal that fails is tried again by the sandbox itself. */
  #end(id: string): void {
    this.forget(id);
    if (!this.#closed) this.#remove(id).catch(() => {});
  }

  #clearTimer(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }
}
