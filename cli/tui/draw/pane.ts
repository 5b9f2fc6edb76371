import { cursorIndex, listRows } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import { viewOf } from "../views/index.ts";
import { allPaneLines, isFollowing, windowOf } from "./pane-lines.ts";
import { colour, type Piece, paint, paintSides } from "./text.ts";

/** The pane's header and its `height` lines. */
export function formatPane(state: State, height: number): string[] {
  const view = viewOf(state.view);
  const { cols } = state.size;
  const listing = listRows(view, state);
  const row = listing.rows[cursorIndex(listing, state.lists[state.view])];
  const index = state.pane.index % view.panes.length;
  const pane = view.panes[index];
  if (row === undefined || pane === undefined) return [colour("dim", "─".repeat(cols))];
  const lines = allPaneLines(pane, row, state);
  const fromEnd = isFollowing(pane);
  const { shown, most } = windowOf(lines, { height, back: state.pane.back, fromEnd });
  const tabs = view.panes.flatMap(({ title }, at): Piece[] => [
    { text: " " },
    { text: title, tone: at === index ? "accent" : "dim" },
    { text: " " },
  ]);
  const back = Math.min(state.pane.back, most);
  const place =
    back === 0
      ? ""
      : fromEnd
        ? `  ${back} lines back`
        : `  ${back + 1}–${Math.min(lines.length, back + height)} of ${lines.length}`;
  const search = state.pane.search === "" ? "" : `  \\${state.pane.search} ${lines.length}`;
  const header = paintSides(
    [
      { text: "── ", tone: "dim" },
      { text: row.name, tone: "strong" },
      { text: `${search}${place} `, tone: "warn" },
    ],
    tabs,
    cols,
  );
  const { trouble } = state.pane;
  const body = shown.map((line) => paint([{ text: " " }, ...line], cols));
  if (trouble !== undefined && fromEnd) {
    body.splice(height - 1);
    body.push(
      paint(
        [
          {
            text: ` ${trouble.message}${trouble.hint === undefined ? "" : `: ${trouble.hint}`}`,
            tone: "bad",
          },
        ],
        cols,
      ),
    );
  }
  return [header, ...body];
}
