import type { HostState } from "../../../client/index.ts";
import type { ListState, PaneState, State } from "./state.ts";

/** The least time between two drawings, so that a flood of changes costs no more than the eye sees. */
const DRAW_MS = 33;
/** The same for what a key changes: whoever presses it waits for it. Keys that come faster, such as those of a paste, share a drawing. */
const KEY_DRAW_MS = 8;

/** Holds the state and tells who draws that it has changed: at once, or with what comes right after it. */
export class Store {
  #state: State;
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  /** Changes the state. */
  readonly update = (change: (state: State) => State): void => {
    const next = change(this.#state);
    if (next === this.#state) return;
    this.#state = next;
    this.#timer ??= this.#tellAfter(DRAW_MS);
  };

  set(part: Partial<State>): void {
    this.update((state) => ({ ...state, ...part }));
  }

  setHost(context: string, change: (host: HostState) => HostState): void {
    this.update((state) => {
      const hosts = state.hosts.map((host) => (host.context === context ? change(host) : host));
      return hosts.every((host, index) => host === state.hosts[index]) ? state : { ...state, hosts };
    });
  }

  /** Changes how the list of the view is looked at. */
  setList(part: Partial<ListState>): void {
    this.update((state) => ({
      ...state,
      lists: { ...state.lists, [state.view]: { ...state.lists[state.view], ...part } },
    }));
  }

  setPane(part: Partial<PaneState>): void {
    this.update((state) => ({ ...state, pane: { ...state.pane, ...part } }));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Tells soon of what has changed, if something has: a key was handled, or a host has answered at last. */
  hurry(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = this.#tellAfter(KEY_DRAW_MS);
  }

  /** Tells of what has changed without waiting. */
  tellNow(): void {
    clearTimeout(this.#timer);
    this.#tell();
  }

  /** Ends what is still to be told. */
  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  /** @param leastMs since it was told last */
  #tellAfter(leastMs: number): NodeJS.Timeout {
    return setTimeout(this.#tell, Math.max(0, this.#toldAt + leastMs - performance.now()));
  }

  readonly #tell = (): void => {
    this.#timer = undefined;
    this.#toldAt = performance.now();
    for (const listener of this.#listeners) listener();
  };
}
