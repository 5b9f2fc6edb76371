import { cleanText } from "./clean-text.ts";
import { widthOf } from "./width.ts";

/** Fills a cell up to `width` columns of a terminal. */
function fill(cell: string, width: number): string {
  return cell + " ".repeat(Math.max(0, width - widthOf(cell)));
}

/** Lays rows out beneath a header, columns two spaces apart. What is in them may be a guest's. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => cleanText(cell) || "–"));
  const widths = header.map((_name, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ""))));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => fill(cell, widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** Lays out names and values, one pair a line. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => widthOf(name)));
  return pairs.map(([name, value]) => `${fill(name, width)}  ${cleanText(value) || "–"}\n`).join("");
}
