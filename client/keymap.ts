/** Keys that do the same in the dashboard and on the web page. */

/** What a key does everywhere. */
export type GlobalAction =
  | "quit"
  | "help"
  | "jobs"
  | "filter"
  | "jump"
  | "search"
  | "down"
  | "up"
  | "pageDown"
  | "pageUp"
  | "first"
  | "last"
  | "nextView"
  | "previousView"
  | "nextPane"
  | "previousPane"
  | "togglePane"
  | "fullPane"
  | "scrollUp"
  | "scrollDown"
  | "mark"
  | "markAll"
  | "sort"
  | "group"
  | "copyLines"
  | "repaint"
  | "suspend"
  | "interrupt"
  | "back";

export interface GlobalKey {
  keys: readonly string[];
  action: GlobalAction;
  help: string;
}

/** Names of keys are those of the dashboard's `keys.ts`. */
export const GLOBAL_KEYS: readonly GlobalKey[] = [
  { keys: ["down", "j"], action: "down", help: "next row" },
  { keys: ["up", "k"], action: "up", help: "previous row" },
  { keys: ["pagedown", "ctrl-f"], action: "pageDown", help: "one page down" },
  { keys: ["pageup", "ctrl-b"], action: "pageUp", help: "one page up" },
  { keys: ["home", "g"], action: "first", help: "first row" },
  { keys: ["end", "G"], action: "last", help: "last row" },
  { keys: ["right"], action: "nextView", help: "next view" },
  { keys: ["left"], action: "previousView", help: "previous view" },
  { keys: ["tab"], action: "nextPane", help: "next pane below the list" },
  { keys: ["shift-tab"], action: "previousPane", help: "previous pane" },
  { keys: ["T"], action: "togglePane", help: "show or hide the pane" },
  { keys: ["w"], action: "fullPane", help: "show the pane in the whole window, or in half of it again" },
  { keys: ["K", "shift-up"], action: "scrollUp", help: "scroll the pane up" },
  {
    keys: ["J", "shift-down"],
    action: "scrollDown",
    help: "scroll the pane down; at the end it follows new lines",
  },
  { keys: ["/"], action: "filter", help: "show only rows that contain these letters in this order" },
  { keys: ["\\"], action: "search", help: "show only lines of the pane that contain a text" },
  { keys: [":"], action: "jump", help: "go to a view or start an action by its name" },
  { keys: ["space"], action: "mark", help: "mark the row; actions then apply to all marked rows" },
  { keys: ["*"], action: "markAll", help: "mark all shown rows, or unmark them" },
  { keys: ["S"], action: "sort", help: "sort by the next column" },
  { keys: ["B"], action: "group", help: "next grouping" },
  { keys: ["Y"], action: "copyLines", help: "copy the last lines of the pane" },
  { keys: ["!"], action: "jobs", help: "list the actions so far as thaw commands" },
  { keys: ["?"], action: "help", help: "this help" },
  {
    keys: ["escape"],
    action: "back",
    help: "go back: leave the full pane or the search, else clear the filter and the marks",
  },
  { keys: ["ctrl-l"], action: "repaint", help: "redraw the screen" },
  { keys: ["ctrl-z"], action: "suspend", help: "return to the shell; fg comes back here" },
  { keys: ["q"], action: "quit", help: "quit" },
  { keys: ["ctrl-c"], action: "interrupt", help: "cancel the question, else quit" },
];

const shownNames: Record<string, string> = {
  return: "↵",
  down: "↓",
  up: "↑",
  left: "←",
  right: "→",
  escape: "esc",
  pagedown: "PgDn",
  pageup: "PgUp",
  "shift-up": "shift-↑",
  "shift-down": "shift-↓",
};

/** A key as people read it. */
export function showKey(key: string): string {
  return shownNames[key] ?? key;
}
