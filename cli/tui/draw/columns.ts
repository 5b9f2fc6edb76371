/** A table's columns, as wide as its window allows. */

import { fitTo, type Line, type Piece } from "./text.ts";
import { widthOf } from "./width.ts";

export interface Column<Row> {
  title: string;
  /** Columns of the terminal. */
  width: number;
  /** It takes what is left, in this proportion to others that grow. */
  grows?: number;
  align?: "left" | "right";
  /** Those with the greatest number are left out first where there is no room; 0: never. */
  rank: number;
  cell(row: Row, nowMs: number): string | Piece;
  /** By what rows are sorted. Default: what the cell shows. */
  order?(row: Row): string | number;
}

const GAP = 2;

/** Columns that have room, each with its width. */
export function layOut<Row>(
  columns: readonly Column<Row>[],
  width: number,
): { column: Column<Row>; width: number }[] {
  const needs = (shown: readonly Column<Row>[]): number =>
    shown.reduce((sum, column) => sum + column.width + GAP, -GAP);
  let shown = [...columns];
  while (needs(shown) > width && shown.some(({ rank }) => rank > 0)) {
    const worst = Math.max(...shown.map(({ rank }) => rank));
    shown = shown.filter(({ rank }) => rank !== worst);
  }
  const left = Math.max(0, width - needs(shown));
  const shares = shown.reduce((sum, { grows = 0 }) => sum + grows, 0);
  return shown.map((column) => ({
    column,
    width: column.width + (shares === 0 ? 0 : Math.floor((left * (column.grows ?? 0)) / shares)),
  }));
}

/** What a column shows of a row. A daemon of another version may send what the column can't read: `?` then. */
export function readCell<Row>({ cell }: Column<Row>, row: Row, nowMs: number): Piece {
  try {
    const read = cell(row, nowMs);
    return typeof read === "object" ? { ...read, text: String(read.text) } : { text: String(read) };
  } catch {
    return { text: "?", tone: "warn" };
  }
}

/** The cells of one row as a line. */
export function formatCells<Row>(
  laidOut: readonly { column: Column<Row>; width: number }[],
  row: Row,
  nowMs: number,
): Line {
  return laidOut.flatMap(({ column, width }, index): Piece[] => {
    const { text, tone } = readCell(column, row, nowMs);
    const piece: Piece = { text: fitTo(text, width, column.align), tone };
    return index === 0 ? [piece] : [{ text: " ".repeat(GAP) }, piece];
  });
}

/** The titles of the columns; the one that rows are sorted by is marked. */
export function formatTitles<Row>(
  laidOut: readonly { column: Column<Row>; width: number }[],
  sorted: string | undefined,
): string {
  return laidOut
    .map(({ column, width }) => {
      const title = column.title === sorted ? `${column.title}▾` : column.title;
      return fitTo(widthOf(title) > width ? column.title : title, width, column.align);
    })
    .join(" ".repeat(GAP));
}
