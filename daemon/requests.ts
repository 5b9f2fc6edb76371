/**
 * Requests that create something carry an id of their client's (`Thaw-Request`) and may be sent again. A repeated request waits until the first
 * one is over; what that one made is then found by the id, on disk, so that a killed daemon changes nothing.
 */
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { requestId } from "../api/text.ts";
import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/errors.ts";

/** Ids that were called off, kept in case their request is still on its way. */
const KEPT_CANCELLED = 1000;
/** A request that is called off may be in the middle of something that can't be interrupted. */
const CANCEL_MS = 20_000;

interface Running {
  abort: AbortController;
  settled: Promise<unknown>;
}

/** The id that a request carries. Throws `usage`. */
export function requestIdOf(headers: IncomingHttpHeaders): string | undefined {
  const header = headers["thaw-request"];
  if (header === undefined) return undefined;
  const parsed = requestId.safeParse(header);
  if (!parsed.success) throw new EngineError("usage", `thaw-request is ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

export class Requests {
  readonly #engine: Engine;
  readonly #running = new Map<string, Running>();
  readonly #cancelled = new Set<string>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Does the work of a request once at a time. Throws `cancelled` when the request was cancelled. */
  async run<T>(
    id: string | undefined,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (id === undefined) return work(signal);
    for (let before = this.#running.get(id); before; before = this.#running.get(id)) await before.settled;
    if (this.#cancelled.has(id)) throw new EngineError("cancelled", "the request was cancelled");
    const abort = new AbortController();
    const working = work(AbortSignal.any([signal, abort.signal]));
    const settled = working.catch(() => {}).then(() => this.#running.delete(id));
    this.#running.set(id, { abort, settled });
    return working;
  }

  /** As `run`, for what takes moments and is not interrupted. `work` gets the request's id. */
  once<T>(
    { headers }: { headers: IncomingHttpHeaders },
    work: (id: string | undefined) => Promise<T>,
  ): Promise<T> {
    const id = requestIdOf(headers);
    return this.run(id, new AbortController().signal, () => work(id));
  }

  /** Calls a request off: ends it, and removes or kills what it has made. */
  async cancel(id: string): Promise<void> {
    this.#cancelled.add(id);
    for (const oldest of this.#cancelled) {
      if (this.#cancelled.size <= KEPT_CANCELLED) break;
      this.#cancelled.delete(oldest);
    }
    const running = this.#running.get(id);
    running?.abort.abort(new EngineError("cancelled", "the request was cancelled"));
    await Promise.race([running?.settled, pause(CANCEL_MS, undefined, { ref: false })]);
    await this.#engine.undo(id);
  }
}
