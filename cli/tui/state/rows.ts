/** Which rows a list shows, and where its cursor is. */
import { matches } from "../../../api/matches.ts";
import { type Column, readCell } from "../draw/columns.ts";
import type { Row, View } from "../views/view.ts";
import type { ListState, State, ViewId } from "./state.ts";

/** A line of a list: a row, or the heading of the rows that follow. */
export type Item = { row: Row } | { heading: string; count: number };

/** A list as it is shown. */
export interface Listing {
  items: readonly Item[];
  /** Rows without the headings. */
  rows: readonly Row[];
  /** Index in `rows` of each key. */
  indexOf: ReadonlyMap<string, number>;
  /** Index in `items` of each row. */
  itemOf: readonly number[];
}

/** The rows of a view, and the parts of hosts that they were made of. */
interface CachedRows {
  parts: readonly unknown[];
  rows: Row[];
}
const rowsOf = new Map<ViewId, CachedRows>();

interface CachedListing {
  rows: readonly Row[];
  list: Pick<ListState, "filter" | "sort" | "grouping">;
  listing: Listing;
}
const listingOf = new Map<ViewId, CachedListing>();

// one for all, and only when something is sorted: to make one costs milliseconds
let collator: Intl.Collator | undefined;

/** All rows of a view. Made anew only when a part of a host that they are made of has changed. */
function makeRows(view: View, hosts: State["hosts"]): Row[] {
  const parts = hosts.flatMap((host): unknown[] =>
    view.parts === undefined ? [host] : [host.context, ...view.parts.map((part) => host[part])],
  );
  const before = rowsOf.get(view.id);
  if (before?.parts.length === parts.length && before.parts.every((part, index) => part === parts[index]))
    return before.rows;
  const rows = view.rows(hosts);
  rowsOf.set(view.id, { parts, rows });
  return rows;
}

/** Rows of a view as its list state has them. */
export function listRows(view: View, { hosts, lists }: Pick<State, "hosts" | "lists">): Listing {
  const { filter, sort, grouping } = lists[view.id];
  const all = makeRows(view, hosts);
  const before = listingOf.get(view.id);
  if (
    before?.rows === all &&
    before.list.filter === filter &&
    before.list.sort === sort &&
    before.list.grouping === grouping
  )
    return before.listing;
  const wanted = filter.toLowerCase();
  const filtered = wanted === "" ? all : all.filter((row) => matches(row.text.toLowerCase(), wanted));
  const listing = group(sortRows(filtered, view, sort), view.groupings?.[grouping]?.of);
  listingOf.set(view.id, { rows: all, list: { filter, sort, grouping }, listing });
  return listing;
}

function sortRows(rows: Row[], view: View, sort: string | undefined): Row[] {
  const column = view.columns.find(({ title }) => title === sort);
  if (column === undefined) return rows;
  const keys = new Map(
    rows.map((row) => {
      return [row, orderOf(column, row)];
    }),
  );
  collator ??= new Intl.Collator(undefined, { numeric: true });
  const { compare } = collator;
  return rows.toSorted((a, b) => {
    const [left = "", right = ""] = [keys.get(a), keys.get(b)];
    return typeof left === "number" && typeof right === "number"
      ? right - left
      : compare(String(left), String(right));
  });
}

function orderOf(column: Column<Row>, row: Row): string | number {
  try {
    return column.order?.(row) ?? readCell(column, row, 0).text;
  } catch {
    return "";
  }
}

function group(rows: readonly Row[], of: ((row: Row) => string) | undefined): Listing {
  const items: Item[] = [];
  const ordered: Row[] = [];
  const itemOf: number[] = [];
  const add = (row: Row): void => {
    ordered.push(row);
    itemOf.push(items.length);
    items.push({ row });
  };
  if (of === undefined) rows.forEach(add);
  else
    for (const [heading, members] of Map.groupBy(rows, of)) {
      items.push({ heading, count: members.length });
      members.forEach(add);
    }
  const indexOf = new Map(ordered.map((row, index) => [row.key, index]));
  return { items, rows: ordered, indexOf, itemOf };
}

/** The index of the row with the cursor; -1 when there are none. A row that is gone leaves the cursor to the one in its place. */
export function cursorIndex(listing: Listing, list: ListState): number {
  const at = list.selected === undefined ? undefined : listing.indexOf.get(list.selected);
  return at ?? Math.min(list.index, listing.rows.length - 1);
}

/** Rows that a verb acts on: those that are marked, else the one with the cursor. */
export function chosenRows(listing: Listing, list: ListState): Row[] {
  const marked = listing.rows.filter(({ key }) => list.marked.has(key));
  if (marked.length > 0) return marked;
  const row = listing.rows[cursorIndex(listing, list)];
  return row === undefined ? [] : [row];
}
