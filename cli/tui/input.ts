/** What a key does: with the question that is asked, with what is open, else with the list. */
import type { GlobalAction } from "../../client/index.ts";
import type { Actor } from "./act.ts";
import { isLargeEnough, layOutWindow } from "./draw/layout.ts";
import { overlayLines } from "./draw/overlay.ts";
import { allPaneLines, isFollowing, windowOf } from "./draw/pane-lines.ts";
import { scrollTo } from "./draw/window.ts";
import { editText } from "./edit-text.ts";
import { lineOf, pressInForm } from "./form.ts";
import { candidates } from "./jump.ts";
import { globalActionOf } from "./keymap.ts";
import type { Key } from "./keys.ts";
import { cursorIndex, listRows } from "./state/rows.ts";
import { type Prompt, type State, VIEW_IDS } from "./state/state.ts";
import type { Store } from "./state/store.ts";
import { viewOf, views } from "./views/index.ts";
import type { Pane, Row } from "./views/view.ts";

/** A line that is typed may be this long. */
const LONGEST = 4096;
/** Lines that are copied from a pane. */
const COPIED_LINES = 50;

export interface Controls {
  store: Store;
  actor: Actor;
  quit: (code: number) => void;
  suspend: () => void;
  repaint: () => void;
}

const INTERRUPTED = 130;

/** A key was pressed. */
export function press(key: Key, controls: Controls): void {
  const { store, actor } = controls;
  const { prompt, overlay, view, size } = store.state;
  if (!isLargeEnough(size)) return pressUnseen(key, controls);
  if (prompt !== undefined) return pressInPrompt(key, prompt, controls);
  if (store.state.message !== undefined) store.set({ message: undefined });
  const action = globalActionOf(key.name);
  if (overlay !== undefined && pressInOverlay(key.name, action, controls)) return;
  const verb = viewOf(view).verbs.find((each) => each.key === key.name);
  if (verb !== undefined) return actor.press(verb);
  const tab = views[Number(key.name) - 1];
  if (/^[1-9]$/.test(key.name) && tab !== undefined) return show(tab.id, store);
  if (action !== undefined) act(action, controls);
  if (key.name === "paste")
    store.set({
      message: {
        text: "pasted text is ignored here: first press / to filter, or : to go to a view",
        tone: "dim",
      },
    });
}

/** Where the window is too small for the list, keys that would act on a row do nothing. */
function pressUnseen(key: Key, controls: Controls): void {
  const action = globalActionOf(key.name);
  if (action === "quit" || action === "interrupt" || action === "suspend" || action === "repaint")
    act(action, controls);
}

function show(view: (typeof VIEW_IDS)[number], store: Store): void {
  store.update((state) => ({
    ...state,
    view,
    pane: { ...state.pane, index: 0, back: 0, search: "", isFull: false },
  }));
}

/** @returns whether that was all */
function pressInOverlay(name: string, action: GlobalAction | undefined, { store }: Controls): boolean {
  const { overlay, overlayTop, size } = store.state;
  const most = Math.max(0, overlayLines(store.state).length - (size.rows - 3));
  const by = {
    down: 1,
    up: -1,
    pageDown: size.rows - 4,
    pageUp: 4 - size.rows,
    first: -most,
    last: most,
  } as const;
  if (action !== undefined && action in by) {
    const to = overlayTop + by[action as keyof typeof by];
    store.set({ overlayTop: Math.max(0, Math.min(most, to)) });
    return true;
  }
  if (action === "interrupt" || action === "suspend" || action === "repaint") return false;
  store.set({ overlay: undefined, overlayTop: 0 });
  return action === overlay || action === "back" || action === "quit" || name === "return";
}

function pressInPrompt(key: Key, prompt: Prompt, controls: Controls): void {
  const { store, actor } = controls;
  const isLeft = key.name === "escape" || key.name === "ctrl-c";
  if (prompt.kind === "confirm") {
    store.set({ prompt: undefined });
    if (key.name === "y") actor.confirm(prompt.verb, prompt.keys);
    return;
  }
  if (isLeft) {
    if (prompt.kind === "filter") store.setList({ filter: "" });
    if (prompt.kind === "search") store.setPane({ search: "", back: 0 });
    return store.set({ prompt: undefined });
  }
  if (prompt.kind === "form") {
    if (key.name !== "return") return store.set({ prompt: pressInForm(prompt, key) });
    store.set({ prompt: undefined });
    return void actor.runLine(lineOf(prompt));
  }
  if (key.name === "return") {
    store.set({ prompt: undefined });
    return submit(prompt, controls);
  }
  const text = editText(prompt.text, key, LONGEST);
  if (text === prompt.text) return;
  store.set({ prompt: { ...prompt, text } });
  if (prompt.kind === "filter") store.setList({ filter: text, top: 0 });
  if (prompt.kind === "search") store.setPane({ search: text, back: 0 });
}

function submit(prompt: Exclude<Prompt, { kind: "confirm" | "form" }>, controls: Controls): void {
  const { store, actor } = controls;
  if (prompt.kind === "command") void actor.runLine(prompt.text);
  if (prompt.kind === "count") {
    const count = Number(prompt.text);
    if (Number.isInteger(count) && count >= 1 && count <= 1000)
      actor.confirm(prompt.verb, prompt.keys, count);
    else store.set({ message: { text: "enter a number from 1 to 1000", tone: "bad" } });
  }
  if (prompt.kind !== "jump") return;
  const [target] = candidates(prompt.text, store.state);
  if (target === undefined)
    return store.set({ message: { text: `no view or action is called ${prompt.text}`, tone: "bad" } });
  if ("view" in target) show(target.view, store);
  else if ("action" in target) act(target.action, controls);
  else {
    const verb = viewOf(store.state.view).verbs.find(({ key }) => key === target.verb);
    if (verb !== undefined) actor.press(verb);
  }
}

/** Moves the cursor by so many rows; it stops at the ends. */
export function moveCursor(store: Store, by: number): void {
  const { state } = store;
  const listing = listRows(viewOf(state.view), state);
  const list = state.lists[state.view];
  const index = Math.max(0, Math.min(listing.rows.length - 1, cursorIndex(listing, list) + by));
  const row = listing.rows[index];
  if (row === undefined) return;
  const item = listing.itemOf[index] ?? 0;
  const height = layOutWindow(state).list;
  const step = Math.max(1, Math.floor(height / 2));
  const top = scrollTo(item, list.top, height, listing.items.length, step);
  store.setList({ selected: row.key, index, top });
}

/** The pane beneath the list, and the row that it is of. */
function shownPane(state: State): { pane: Pane<Row>; row: Row } | undefined {
  const view = viewOf(state.view);
  const listing = listRows(view, state);
  const row = listing.rows[cursorIndex(listing, state.lists[state.view])];
  const pane = view.panes[state.pane.index % view.panes.length];
  return row && pane && { pane, row };
}

/** Scrolls the pane up by so many lines. */
function scrollPane(store: Store, up: number): void {
  const { state } = store;
  const shown = shownPane(state);
  if (shown === undefined) return;
  const { pane, row } = shown;
  const fromEnd = isFollowing(pane);
  const height = layOutWindow(state).pane;
  const { most } = windowOf(allPaneLines(pane, row, state), { height, back: state.pane.back, fromEnd });
  const back = Math.min(state.pane.back, most) + (fromEnd ? up : -up);
  store.setPane({ back: Math.max(0, Math.min(most, back)) });
}

function copyLines({ store, actor }: Controls): void {
  const { state } = store;
  const shown = shownPane(state);
  if (shown === undefined) return;
  const { pane, row } = shown;
  const lines = allPaneLines(pane, row, state).slice(-COPIED_LINES);
  const text = lines.map((line) => line.map((piece) => piece.text).join("")).join("\n");
  actor.copy(text, `${lines.length} lines`);
}

function cycle<T>(values: readonly T[], value: T, by = 1): T | undefined {
  return values[(values.indexOf(value) + by + values.length) % values.length];
}

function act(action: GlobalAction, controls: Controls): void {
  const { store } = controls;
  const { state } = store;
  const list = state.lists[state.view];
  const view = viewOf(state.view);
  const { list: height, pane } = layOutWindow(state);
  const rowCount = (): number => listRows(view, state).rows.length;
  const nextPane = (by: number): void =>
    store.setPane({
      index: (state.pane.index + by + view.panes.length) % view.panes.length,
      back: 0,
      search: "",
      isOpen: true,
    });
  const actions: Record<GlobalAction, () => void> = {
    quit: () => controls.quit(0),
    interrupt: () => controls.quit(INTERRUPTED),
    suspend: controls.suspend,
    repaint: controls.repaint,
    help: () => store.set({ overlay: "help", overlayTop: 0 }),
    jobs: () => store.set({ overlay: "jobs", overlayTop: 0 }),
    filter: () => store.set({ prompt: { kind: "filter", text: list.filter } }),
    search: () => store.set({ prompt: { kind: "search", text: state.pane.search } }),
    jump: () => store.set({ prompt: { kind: "jump", text: "" } }),
    down: () => moveCursor(store, 1),
    up: () => moveCursor(store, -1),
    pageDown: () => moveCursor(store, Math.max(1, height - 1)),
    pageUp: () => moveCursor(store, -Math.max(1, height - 1)),
    first: () => moveCursor(store, -rowCount()),
    last: () => moveCursor(store, rowCount()),
    nextView: () => show(cycle(VIEW_IDS, state.view) ?? state.view, store),
    previousView: () => show(cycle(VIEW_IDS, state.view, -1) ?? state.view, store),
    nextPane: () => nextPane(1),
    previousPane: () => nextPane(-1),
    togglePane: () => store.setPane({ isOpen: !state.pane.isOpen, isFull: false }),
    fullPane: () => store.setPane({ isFull: !state.pane.isFull, isOpen: true }),
    scrollUp: () => scrollPane(store, Math.max(1, Math.floor(pane / 2))),
    scrollDown: () => scrollPane(store, -Math.max(1, Math.floor(pane / 2))),
    mark: () => mark(store),
    markAll: () => {
      const keys = listRows(view, state).rows.map(({ key }) => key);
      store.setList({ marked: new Set(list.marked.size === keys.length ? [] : keys) });
    },
    sort: () => {
      const titles = [undefined, ...view.columns.map(({ title }) => title)];
      store.setList({ sort: cycle(titles, list.sort) });
    },
    group: () => store.setList({ grouping: (list.grouping + 1) % Math.max(1, view.groupings?.length ?? 1) }),
    copyLines: () => copyLines(controls),
    back: () => {
      if (state.pane.isFull) store.setPane({ isFull: false });
      else if (state.pane.search !== "") store.setPane({ search: "", back: 0 });
      else store.setList({ filter: "", marked: new Set() });
    },
  };
  actions[action]();
}

function mark(store: Store): void {
  const { state } = store;
  const listing = listRows(viewOf(state.view), state);
  const list = state.lists[state.view];
  const key = listing.rows[cursorIndex(listing, list)]?.key;
  if (key === undefined) return;
  const marked = new Set(list.marked);
  if (!marked.delete(key)) marked.add(key);
  store.setList({ marked });
  moveCursor(store, 1);
}
