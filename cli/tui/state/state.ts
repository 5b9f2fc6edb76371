/** All that the dashboard knows. Never changed in place: each change makes a new one. */
import { type HostState, newHost, type Rerun, type Trouble } from "../../../client/index.ts";
import type { Line } from "../draw/text.ts";

export const VIEW_IDS = ["sandboxes", "failures", "snapshots", "templates", "hosts"] as const;
export type ViewId = (typeof VIEW_IDS)[number];

/** How a list is looked at. */
export interface ListState {
  /** The key of the row with the cursor. */
  selected: string | undefined;
  /** Where that row was, for when it goes. */
  index: number;
  /** The first row shown. */
  top: number;
  marked: ReadonlySet<string>;
  filter: string;
  /** A column's title; undefined: the view's own order. */
  sort: string | undefined;
  /** Which of the view's groupings. */
  grouping: number;
}

/** Lines that a pane keeps; older ones are dropped. */
export const KEPT_LINES = 5000;

/** The pane beneath the list. */
export interface PaneState {
  isOpen: boolean;
  /** It has all of the window. */
  isFull: boolean;
  /** Which of the view's panes. */
  index: number;
  /** Lines from the end; 0 follows what comes. */
  back: number;
  /** Key of the row that `lines` are of. */
  of: string | undefined;
  lines: readonly Line[];
  trouble?: Trouble | undefined;
  search: string;
}

/** A flag of the command that a form makes. */
export interface Field {
  flag: string;
  label: string;
  value: string;
  /** What is taken, in a few words. */
  hint: string;
  /** Values that left and right go through; others can be typed. */
  choices?: readonly string[];
  /** It may be given several times, words apart. */
  takesMany?: boolean;
}
export interface Form {
  kind: "form";
  /** The command without its flags. */
  args: readonly string[];
  fields: readonly Field[];
  /** The field that is typed into. */
  at: number;
  context: string;
  /** The context that a command without `--context` works on. */
  current: string;
}

/** A question at the bottom of the window. */
export type Prompt =
  | Form
  | { kind: "filter" | "jump" | "search"; text: string }
  | { kind: "command"; text: string; context: string }
  | { kind: "count"; text: string; title: string; verb: string; keys: readonly string[] }
  | { kind: "confirm"; lines: readonly string[]; verb: string; keys: readonly string[] };

/** A command that was run in the background, or whose equal was. */
export interface Job {
  id: number;
  command: string;
  state: "running" | "done" | "failed";
  startedAt: number;
  /** What it said, or why it failed. */
  output: readonly string[];
}

/** A rerun that goes on, or that ended since the dashboard was opened. */
export interface RerunState {
  count: number;
  done: number;
  failed: number;
  result?: Rerun | undefined;
  trouble?: Trouble | undefined;
}

export interface State {
  size: { cols: number; rows: number };
  hosts: readonly HostState[];
  view: ViewId;
  lists: Readonly<Record<ViewId, ListState>>;
  pane: PaneState;
  prompt: Prompt | undefined;
  overlay: "help" | "jobs" | undefined;
  overlayTop: number;
  /** What came of the last key. */
  message: { text: string; tone: "bad" | "good" | "dim"; hint?: string | undefined } | undefined;
  jobs: readonly Job[];
  reruns: ReadonlyMap<string, RerunState>;
  /** Ages count from here. */
  nowMs: number;
}

const emptyList: ListState = {
  selected: undefined,
  index: 0,
  top: 0,
  marked: new Set(),
  filter: "",
  sort: undefined,
  grouping: 0,
};

export function newState(contexts: readonly string[], size: State["size"], nowMs: number): State {
  const list = { ...emptyList };
  return {
    size,
    hosts: contexts.map(newHost),
    view: "sandboxes",
    lists: { sandboxes: list, failures: list, snapshots: list, templates: list, hosts: list },
    pane: { isOpen: true, isFull: false, index: 0, back: 0, of: undefined, lines: [], search: "" },
    prompt: undefined,
    overlay: undefined,
    overlayTop: 0,
    message: undefined,
    jobs: [],
    reruns: new Map(),
    nowMs,
  };
}
