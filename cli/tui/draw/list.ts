import { cursorIndex, listRows } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import { hostColumn } from "../views/common.ts";
import { viewOf } from "../views/index.ts";
import type { Row } from "../views/view.ts";
import { formatCells, formatTitles, layOut } from "./columns.ts";
import { colour, cut, paint } from "./text.ts";
import { scrollTo } from "./window.ts";

const MARGIN = 3;

interface Drawn {
  how: string;
  text: string;
}
/** Rows as they were drawn last: most of a frame is as in the one before. */
const drawn = new WeakMap<Row, Drawn>();

interface RowLook {
  laidOut: ReturnType<typeof layOut<Row>>;
  cols: number;
  nowMs: number;
  isHere: boolean;
  isMarked: boolean;
  /** Its host is offline. */
  isOld: boolean;
}

function formatRow(row: Row, look: RowLook): string {
  const { laidOut, cols, nowMs, isHere, isMarked, isOld } = look;
  const how = [cols, nowMs, isHere, isMarked, isOld].join(" ");
  const before = drawn.get(row);
  if (before?.how === how) return before.text;
  const cells = formatCells(laidOut, row, nowMs);
  const text = paint(
    [
      { text: ` ${isHere ? "▌" : " "}`, tone: "accent" },
      { text: isMarked ? "●" : " ", tone: "warn" },
      ...(isOld
        ? cells.map((cell) => ({ text: cell.text, tone: "dim" as const }))
        : isHere
          ? cells.map((cell) => ({ text: cell.text, tone: cell.tone ?? ("accent" as const) }))
          : cells),
    ],
    cols,
  );
  drawn.set(row, { how, text });
  return text;
}

/** The titles and the `height` rows that are shown. */
export function formatList(state: State, height: number): string[] {
  const view = viewOf(state.view);
  const list = state.lists[state.view];
  const { cols } = state.size;
  const listing = listRows(view, state);
  const columns =
    state.hosts.length > 1 ? view.columns : view.columns.filter((column) => column !== hostColumn);
  const laidOut = layOut(columns, cols - MARGIN - 1);
  const titles = colour(
    "dim",
    `${" ".repeat(MARGIN)}${cut(formatTitles(laidOut, list.sort), cols - MARGIN)}`,
  );
  if (listing.items.length === 0) {
    const offline = state.hosts.filter(({ status }) => status === "offline").length;
    const empty =
      list.filter !== ""
        ? `no row matches ${list.filter}: esc clears the filter`
        : state.hosts.some(({ status }) => status === "connecting")
          ? (state.hosts.find(({ status }) => status === "connecting")?.trouble?.message ?? "loading…")
          : offline === state.hosts.length
            ? (state.hosts[0]?.trouble?.message ?? "no host answers")
            : view.empty;
    const lines = height > 1 ? ["", empty] : [empty];
    return [titles, ...lines.map((text) => paint([{ text: `   ${text}`, tone: "dim" }], cols))];
  }
  const at = listing.itemOf[cursorIndex(listing, list)] ?? 0;
  // a heading is shown with the first of its rows
  const want = at === 1 ? 0 : at;
  const first = scrollTo(
    at,
    scrollTo(want, list.top, height, listing.items.length),
    height,
    listing.items.length,
  );
  const rows = listing.items.slice(first, first + height).map((item, index) => {
    if ("heading" in item)
      return paint(
        [
          { text: ` ${item.heading}`, tone: "strong" },
          { text: `  ${item.count}`, tone: "dim" },
        ],
        cols,
      );
    const host = state.hosts.find(({ context }) => context === item.row.context);
    return formatRow(item.row, {
      ...{ laidOut, cols, nowMs: state.nowMs },
      isHere: first + index === at,
      isMarked: list.marked.has(item.row.key),
      isOld: host?.status === "offline" && state.view !== "hosts",
    });
  });
  return [titles, ...rows];
}
