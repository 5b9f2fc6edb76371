import { cursorIndex, listRows } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import { viewOf } from "../views/index.ts";
import { formatCells, formatTitles, layOut } from "./columns.ts";
import { colour, cut, paint } from "./text.ts";
import { scrollTo } from "./window.ts";

const MARGIN = 3;

/** The titles and the `height` rows that are shown. */
export function formatList(state: State, height: number): string[] {
  const view = viewOf(state.view);
  const list = state.lists[state.view];
  const { cols } = state.size;
  const listing = listRows(view, state);
  const laidOut = layOut(view.columns, cols - MARGIN - 1);
  const titles = colour(
    "dim",
    `${" ".repeat(MARGIN)}${cut(formatTitles(laidOut, list.sort), cols - MARGIN)}`,
  );
  if (listing.items.length === 0) {
    const away = state.hosts.filter(({ status }) => status === "away").length;
    const empty =
      list.filter !== ""
        ? `nothing matches ${list.filter}: esc drops the filter`
        : state.hosts.some(({ status }) => status === "connecting")
          ? (state.hosts.find(({ status }) => status === "connecting")?.trouble?.message ?? "asking…")
          : away === state.hosts.length
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
    const isHere = first + index === at;
    const mark = list.marked.has(item.row.key) ? "●" : " ";
    const host = state.hosts.find(({ context }) => context === item.row.context);
    const cells = formatCells(laidOut, item.row, state.nowMs);
    // what is known of a host that is away is old
    const isOld = host?.status === "away" && state.view !== "hosts";
    return paint(
      [
        { text: ` ${isHere ? "▌" : " "}`, tone: "accent" },
        { text: mark, tone: "warn" },
        ...(isOld
          ? cells.map(({ text }) => ({ text, tone: "dim" as const }))
          : isHere
            ? cells.map(({ text, tone }) => ({ text, tone: tone ?? ("accent" as const) }))
            : cells),
      ],
      cols,
    );
  });
  return [titles, ...rows];
}
