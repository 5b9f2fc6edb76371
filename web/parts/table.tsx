/** A list of any length: only the rows in sight are drawn, each of them is a link. */
import { type LinkProps, useRouter } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type MouseEvent,
  memo,
  type ReactNode,
  useDeferredValue,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { type Search, stringifySearch } from "../state/search.ts";
import { Guard } from "./states.tsx";

export interface Column<T> {
  title: string;
  /** Least width in `rem`. */
  width: number;
  /** Its share of the room that is left; default 0. */
  grows?: number;
  /** 0 is always shown; the highest is the first to go where there is no room. */
  rank: number;
  align?: "right";
  cell: (row: T) => ReactNode;
}

export interface TableProps<T> {
  /** What the rows are: `failures`. Names the list, and the place that it is scrolled to. */
  label: string;
  /** What the rows were chosen by. */
  filter: Search;
  rows: readonly T[];
  keyOf: (row: T) => string;
  /** The first column is the link. */
  columns: readonly Column<T>[];
  link: (row: T) => Pick<LinkProps, "to" | "params" | "search">;
  /** A heading for each run of rows that have the same. */
  groupOf?: ((row: T) => string) | undefined;
  /** How a heading is drawn. */
  heading?: ((name: string, rows: readonly T[]) => ReactNode) | undefined;
  empty: ReactNode;
}

type Item<T> = { key: string } & ({ row: T; index: number } | { name: string; rows: readonly T[] });

const ROW_REM = 2.5;
/** Rows that are drawn beyond the edges of what is in sight. Each costs as much as one in sight. */
const OVERSCAN = 4;
const GAP_REM = 1;
const scrolledTo = new Map<string, number>();

/** The columns that there is room for. */
export function fitColumns<T extends { width: number; rank: number }>(
  columns: readonly T[],
  roomRem: number,
): readonly T[] {
  const byRank = [...columns].sort((a, b) => a.rank - b.rank);
  let used = GAP_REM;
  const kept = new Set<T>();
  for (const column of byRank) {
    used += column.width + GAP_REM;
    if (column.rank > 0 && used > roomRem) break;
    kept.add(column);
  }
  return columns.filter((column) => kept.has(column));
}

/** Rows with a heading before each group, in the order of the first row of each. */
export function groupItems<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  groupOf: ((row: T) => string) | undefined,
): Item<T>[] {
  if (groupOf === undefined) return rows.map((row, index) => ({ key: keyOf(row), row, index }));
  const items: Item<T>[] = [];
  let index = 0;
  for (const [name, members] of Map.groupBy(rows, groupOf)) {
    items.push({ key: `heading ${name}`, name, rows: members });
    for (const row of members) items.push({ key: keyOf(row), row, index: index++ });
  }
  return items;
}

export function Table<T>(props: TableProps<T>) {
  const { label, keyOf, groupOf, heading, empty } = props;
  // Other rows are drawn piece by piece: whoever types or scrolls does not wait for them.
  const { rows, filter } = useDeferredValue(
    useMemo(() => ({ rows: props.rows, filter: stringifySearch(props.filter) }), [props.rows, props.filter]),
  );
  const frame = useRef<HTMLDivElement>(null);
  const [{ roomRem, rowPx }, setRoom] = useState({ roomRem: 60, rowPx: 16 * ROW_REM });
  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const measure = new ResizeObserver(([entry]) => {
      // a wide window has larger letters
      const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
      setRoom({ roomRem: (entry?.contentRect.width ?? 0) / rem, rowPx: rem * ROW_REM });
    });
    measure.observe(element);
    return () => measure.disconnect();
  }, []);
  const columns = useMemo(() => fitColumns(props.columns, roomRem), [props.columns, roomRem]);
  const items = useMemo(() => groupItems(rows, keyOf, groupOf), [rows, keyOf, groupOf]);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => frame.current,
    estimateSize: () => rowPx,
    getItemKey: (index) => items[index]?.key ?? index,
    initialOffset: scrolledTo.get(label) ?? 0,
    overscan: OVERSCAN,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: it keeps the heights of before
  useLayoutEffect(() => virtual.measure(), [rowPx]);
  useEffect(() => {
    const element = frame.current;
    return () => {
      if (element !== null) scrolledTo.set(label, element.scrollTop);
    };
  }, [label]);
  const shownFilter = useRef(filter);
  useEffect(() => {
    if (shownFilter.current === filter) return;
    shownFilter.current = filter;
    // Other rows are read from the first one on.
    frame.current?.scrollTo(0, 0);
  }, [filter]);
  const tracks = columns.map(({ width, grows }) => `minmax(${width}rem, ${grows ?? 0}fr)`).join(" ");
  const focus = (index: number): void => {
    const at = items.findIndex((item) => "index" in item && item.index === index);
    if (at < 0) return;
    virtual.scrollToIndex(at);
    requestAnimationFrame(() => {
      frame.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: true });
    });
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = Number((event.target as HTMLElement).dataset.index ?? -1);
    const page = Math.max(1, Math.floor((frame.current?.clientHeight ?? rowPx) / rowPx) - 2);
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      j: at + 1,
      ArrowUp: at - 1,
      k: at - 1,
      Home: 0,
      g: 0,
      End: rows.length - 1,
      G: rows.length - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    focus(Math.max(0, Math.min(rows.length - 1, to)));
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys move the focus among the links in it
    <div className="table" ref={frame} onKeyDown={onKeyDown}>
      <h1 className="unseen">{label}</h1>
      <div role="table" aria-label={label} aria-rowcount={rows.length + 1}>
        <div role="rowgroup" className="head">
          <div role="row" style={{ gridTemplateColumns: tracks }}>
            {columns.map(({ title, align }) => (
              <span role="columnheader" key={title} className={align}>
                {title}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="rows" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ index, key, start }) => {
            const item = items[index];
            if (item === undefined) return null;
            const place = { transform: `translateY(${start}px)`, height: rowPx };
            return "row" in item ? (
              <div role="row" key={key} aria-rowindex={item.index + 2} className="row" style={place}>
                <Row row={item.row} index={item.index} columns={columns} tracks={tracks} link={props.link} />
              </div>
            ) : (
              <div role="row" key={key} className="group" style={place}>
                <span role="cell">{heading?.(item.name, item.rows) ?? item.name}</span>
              </div>
            );
          })}
        </div>
      </div>
      {rows.length === 0 && empty}
    </div>
  );
}

interface RowProps<T> {
  row: T;
  index: number;
  columns: readonly Column<T>[];
  tracks: string;
  link: TableProps<T>["link"];
}

/** Drawn anew only when its row or the columns are others. */
const Row = memo(function Row<T>({ row, index, columns, tracks, link }: RowProps<T>) {
  return (
    <Guard of={row}>
      <div className="cells" role="presentation" style={{ gridTemplateColumns: tracks }}>
        {columns.map(({ title, cell, align }, column) => (
          <span role="cell" key={title} className={align}>
            {column === 0 ? (
              <RowLink to={link(row)} index={index}>
                {cell(row)}
              </RowLink>
            ) : (
              cell(row)
            )}
          </span>
        ))}
      </div>
    </Guard>
  );
}) as <T>(props: RowProps<T>) => ReactNode;

/** The router's own link is drawn again, in each row, whenever the address changes, as it does with each letter of a filter. */
function RowLink({
  to,
  index,
  children,
}: {
  to: ReturnType<TableProps<unknown>["link"]>;
  index: number;
  children: ReactNode;
}) {
  const router = useRouter();
  const onClick = (event: MouseEvent): void => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void router.navigate(to);
  };
  return (
    <a href={router.buildLocation(to).href} data-index={index} className="row-link" onClick={onClick}>
      {children}
    </a>
  );
}
