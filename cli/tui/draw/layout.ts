/** Which part of the window has how many rows. */
import type { Prompt, State } from "../state/state.ts";

/** The smallest terminal that it is of use in. */
export const LEAST = { cols: 60, rows: 15 };

export function isLargeEnough({ cols, rows }: State["size"]): boolean {
  return cols >= LEAST.cols && rows >= LEAST.rows;
}

export interface Layout {
  /** Rows of the list, without its titles. */
  list: number;
  /** Lines of the pane, without its header. */
  pane: number;
  /** Lines of the message or question. */
  bottom: number;
}

const TABS = 1;
const TITLES = 1;
const PANE_HEADER = 1;
const FOOTER = 1;

function linesOf(prompt: Prompt | undefined): number {
  if (prompt?.kind === "form") return prompt.fields.length + 1;
  return prompt?.kind === "confirm" ? Math.min(prompt.lines.length + 1, 5) : 1;
}

export function layOutWindow({ size, pane, prompt }: Pick<State, "size" | "pane" | "prompt">): Layout {
  const bottom = linesOf(prompt);
  const free = Math.max(0, size.rows - TABS - TITLES - PANE_HEADER - FOOTER - bottom);
  if (!pane.isOpen) return { list: free + PANE_HEADER, pane: 0, bottom };
  // the list keeps a row: where one is must stay seen
  if (pane.isFull) return { list: Math.min(1, free), pane: Math.max(0, free - 1), bottom };
  const list = Math.ceil(free / 2);
  return { list, pane: free - list, bottom };
}
