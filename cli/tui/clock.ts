/** When what is shown changes by itself: ages, and what happens next. */
import type { State } from "./state/state.ts";
import type { Store } from "./state/store.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** What has just come is watched; of what is older, tens of seconds tell enough. */
const NEW = 10 * SECOND;
/** Minutes and seconds are shown of what comes within this time. */
const SOON = 10 * MINUTE;

/**
 * How long the ages on the screen stay as they are. Each second is counted of what has just come, or comes within a minute; every fifth of what is younger
 * than a minute or comes later, such as the pauses of many idle sandboxes: each change draws the window anew.
 */
export function msToNextTick({ hosts, view, nowMs }: Pick<State, "hosts" | "view" | "nowMs">): number {
  const isWithin = (ms: number) =>
    hosts.some(({ sandboxes }) =>
      sandboxes.values().some(({ next }) => Date.parse(next?.at ?? "") - nowMs < ms),
    );
  const youngestMs = nowMs - newest({ hosts, view });
  if (youngestMs < NEW || (view === "sandboxes" && isWithin(MINUTE + SECOND))) return SECOND;
  const isCounted = youngestMs < MINUTE + 5 * SECOND || (view === "sandboxes" && isWithin(SOON));
  return isCounted ? 5 * SECOND : 15 * SECOND;
}

/** The rows whose ages a view shows. */
function agedRows(host: State["hosts"][number], view: State["view"]): Iterable<{ createdAt: string }> {
  if (view === "sandboxes") return host.sandboxes.values();
  if (view === "failures") return host.captures.values();
  return view === "snapshots" ? host.snapshots.values() : [];
}

/** When the newest row of a view was made. */
function newest({ hosts, view }: Pick<State, "hosts" | "view">): number {
  let newest = Number.NEGATIVE_INFINITY;
  for (const host of hosts)
    for (const { createdAt } of agedRows(host, view)) {
      const made = Date.parse(createdAt);
      // a time that can't be read is none
      if (made > newest) newest = made;
    }
  return newest;
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
    const now = performance.now();
    // Events come by the dozen, and rows by the thousand: what has come is looked at with the next drawing, within a second.
    const dueMs = before === undefined ? now + msToNextTick(state) : Math.min(before.dueMs, now + SECOND);
    if (before?.dueMs === dueMs) {
      before.of = of;
      return;
    }
    clearTimeout(before?.timer);
    const timer = setTimeout(() => {
      this.#next = undefined;
      this.#store.set({ nowMs: Date.now() });
      this.plan();
    }, dueMs - now);
    this.#next = { timer, dueMs, of };
  }

  close(): void {
    clearTimeout(this.#next?.timer);
  }
}
