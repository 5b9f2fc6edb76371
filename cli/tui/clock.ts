/** When what is shown changes by itself: ages, and what happens next. */
import type { State } from "./state/state.ts";
import type { Store } from "./state/store.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Minutes and seconds are shown of what comes within this time. */
const SOON = 10 * MINUTE;

/**
 * How long the ages on the screen stay as they are. Each second is counted of what is younger than a minute or comes within one; of what comes later, such
 * as the pauses of many idle sandboxes, every fifth: each change draws the window anew.
 */
export function msToNextTick({ hosts, view, nowMs }: Pick<State, "hosts" | "view" | "nowMs">): number {
  const isYoung = ({ createdAt }: { createdAt: string }): boolean =>
    nowMs - Date.parse(createdAt) < MINUTE + SECOND;
  const isWithin = (ms: number) =>
    hosts.some(({ sandboxes }) =>
      sandboxes.values().some(({ next }) => Date.parse(next?.at ?? "") - nowMs < ms),
    );
  const young = hosts.some(({ sandboxes, captures, snapshots }) => {
    if (view === "sandboxes") return sandboxes.values().some(isYoung);
    if (view === "failures") return captures.values().some(isYoung);
    return view === "snapshots" && snapshots.values().some(isYoung);
  });
  if (young || (view === "sandboxes" && isWithin(MINUTE + SECOND))) return SECOND;
  return view === "sandboxes" && isWithin(SOON) ? 5 * SECOND : 15 * SECOND;
}

/** Has the ages drawn anew when they change. */
export class AgeClock {
  readonly #store: Store;
  #next: { timer: NodeJS.Timeout; dueMs: number; of: readonly unknown[] } | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Plans the next drawing: sooner than it was when something younger has come. */
  plan(): void {
    const { state } = this.#store;
    const lists = state.hosts.flatMap((host) => [host.sandboxes, host.captures, host.snapshots]);
    const of = [state.view, ...lists];
    const before = this.#next;
    if (before?.of.every((each, index) => each === of[index])) return;
    const dueMs = Math.min(
      performance.now() + msToNextTick(state),
      before?.dueMs ?? Number.POSITIVE_INFINITY,
    );
    clearTimeout(before?.timer);
    const timer = setTimeout(() => {
      this.#next = undefined;
      this.#store.set({ nowMs: Date.now() });
      this.plan();
    }, dueMs - performance.now());
    this.#next = { timer, dueMs, of };
  }

  close(): void {
    clearTimeout(this.#next?.timer);
  }
}
