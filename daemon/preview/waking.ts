/** Sandboxes that requests are waking. A browser gets a page that asks again meanwhile, and is told when it failed. */
import type { Sandbox as EngineSandbox } from "../../engine/sandboxes/sandbox.ts";

/** A sandbox that is up by then needs no page. */
const PATIENCE_MS = 500;
/** A failure is told for as long, and tried again after that. */
const TOLD_MS = 5_000;

type Sandbox = Pick<EngineSandbox, "acquireUse" | "wake"> & {
  record: Pick<EngineSandbox["record"], "state" | "frozen">;
};

interface Waking {
  over: Promise<void>;
  /** null: it goes on, or has not failed. */
  failure: { message: string; at: number } | null;
}

export class Wakers {
  readonly #waking = new WeakMap<Sandbox, Waking>();

  /** @returns `up`, `waking`, or why it could not be woken */
  async wake(sandbox: Sandbox): Promise<"up" | "waking" | { failure: string }> {
    const { state, frozen } = sandbox.record;
    if (state !== "paused" && !frozen) return "up";
    const known = this.#waking.get(sandbox);
    if (known?.failure && performance.now() - known.failure.at < TOLD_MS)
      return { failure: known.failure.message };
    const waking = known && !known.failure ? known : this.#start(sandbox);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"waking">((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS, "waking");
    });
    const result = await Promise.race([late, waking.over]);
    clearTimeout(timer);
    if (result === "waking") return "waking";
    return waking.failure === null ? "up" : { failure: waking.failure.message };
  }

  #start(sandbox: Sandbox): Waking {
    const release = sandbox.acquireUse();
    const waking: Waking = { over: Promise.resolve(), failure: null };
    waking.over = sandbox
      .wake()
      .then(
        () => void this.#waking.delete(sandbox),
        (error: Error) => {
          waking.failure = { message: error.message, at: performance.now() };
        },
      )
      .finally(release);
    this.#waking.set(sandbox, waking);
    return waking;
  }
}
