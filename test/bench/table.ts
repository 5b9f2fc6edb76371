/** Rows as an aligned table. */
import { type Figure, type Row, ratioOf, type Target, verdictOf } from "./row.ts";

const HEADER = ["", "ours", "against", "ratio", "target", ""];
const BOUNDS: Record<Target["bound"], string> = { "at most": "≤", "at least": "≥", "less than": "<" };

export function formatTable(rows: readonly Row[]): string {
  const lines = [HEADER, ...rows.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = lines.map((line) =>
    line
      .map((cell, column) =>
        isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  const notes = rows.flatMap(({ name, note }) => (note === undefined ? [] : [`  ${name}: ${note}`]));
  return [...text, ...notes].join("\n");
}

function isNumber(column: number): boolean {
  return column === 1 || column === 3 || column === 4;
}

function cells(row: Row): string[] {
  const { name, ours, against, target } = row;
  const ratio = ratioOf(row);
  return [
    name,
    ours === undefined ? "–" : formatFigure(ours),
    against === undefined ? "–" : `${formatFigure(against)} ${against.what}`,
    ratio === undefined ? "–" : `${formatValue(ratio)} ×`,
    target === undefined ? "–" : formatTarget(target, ours),
    verdictOf(row),
  ];
}

function formatFigure({ median, unit }: Figure): string {
  return `${formatValue(median)} ${unit}`;
}

function formatTarget({ of, bound, value }: Target, ours: Figure | undefined): string {
  return `${BOUNDS[bound]} ${value}${of === "ours" ? ` ${ours?.unit ?? ""}` : " ×"}`.trimEnd();
}

/** Three significant digits. */
function formatValue(value: number): string {
  if (!Number.isFinite(value)) return "?";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
