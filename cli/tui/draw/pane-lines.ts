/** The lines of the pane that are shown. */
import type { State } from "../state/state.ts";
import type { Pane, Row } from "../views/view.ts";
import type { Line } from "./text.ts";

/** A pane that follows something is read from its end, others from their beginning. */
export function isFollowing(pane: Pane<Row>): boolean {
  return pane.follow !== undefined;
}

/** All lines that the pane has, or those with the text that is searched for. */
export function allPaneLines(pane: Pane<Row>, row: Row, state: State): readonly Line[] {
  const { pane: shown, size } = state;
  const lines =
    readLines(pane, row, state, size.cols) ?? (shown.of === `${pane.title} ${row.key}` ? shown.lines : []);
  const wanted = shown.search.toLowerCase();
  if (wanted === "") return lines;
  return lines.filter((line) =>
    line
      .map(({ text }) => text)
      .join("")
      .toLowerCase()
      .includes(wanted),
  );
}

/** What the lists say of the row. A daemon of another version may send what the pane can't read. */
function readLines(pane: Pane<Row>, row: Row, state: State, width: number): readonly Line[] | undefined {
  try {
    return pane.lines?.(row, state, width);
  } catch (error) {
    return [
      [{ text: `this pane can't be shown: ${error instanceof Error ? error.message : error}`, tone: "bad" }],
    ];
  }
}

/** The part that fits. @returns its lines, and how far it may be scrolled */
export function windowOf(
  lines: readonly Line[],
  { height, back, fromEnd }: { height: number; back: number; fromEnd: boolean },
): { shown: readonly Line[]; most: number } {
  const most = Math.max(0, lines.length - height);
  const start = fromEnd ? most - Math.min(back, most) : Math.min(back, most);
  return { shown: lines.slice(start, start + height), most };
}
