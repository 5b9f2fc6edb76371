import type { HostState, ListState, PaneState, State } from "./state.ts";

/** The least time between two drawings, so that a flood of changes costs no more than the eye sees. */
const DRAW_MS = 33;

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
    this.#timer ??= setTimeout(this.#tell, Math.max(0, this.#toldAt + DRAW_MS - performance.now()));
  };

  set(part: Partial<State>): void {
    this.update((state) => ({ ...state, ...part }));
  }

  setHost(context: string, change: (host: HostState) => HostState): void {
    this.update((state) => ({
      ...state,
      hosts: state.hosts.map((host) => (host.context === context ? change(host) : host)),
    }));
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

  readonly #tell = (): void => {
    this.#timer = undefined;
    this.#toldAt = performance.now();
    for (const listener of this.#listeners) listener();
  };
}
