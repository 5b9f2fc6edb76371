/** Lines of two outputs side by side. */
import { withoutVarying } from "./last-lines.ts";

/** `alike`: only what varies from run to run differs, such as numbers in a line, or a time that is not twice the other. */
export type Mark = "same" | "alike" | "changed" | "only-a" | "only-b";

/** One thing on both sides; null: it is not on that side. All of it is the guest's or a client's text. */
export interface ComparedRow {
  mark: Mark;
  /** What it is, where the section has things of several kinds. */
  name?: string;
  a: string | null;
  b: string | null;
}

/**
 * Finds the longest row of lines that both have, in order, whatever varies in them; what lies between stands side by side.
 * For a few hundred lines: takes time by the product of both numbers.
 */
export function alignLines(a: readonly string[], b: readonly string[]): ComparedRow[] {
  const [left, right] = [a.map(withoutVarying), b.map(withoutVarying)];
  // longest[i][j]: of what begins at line i of a and line j of b
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  const at = (i: number, j: number): number => longest[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const row = longest[i];
      if (row !== undefined)
        row[j] = left[i] === right[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  const rows: ComparedRow[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const [startA, startB] = [i, j];
    while ((i < a.length || j < b.length) && !(i < a.length && j < b.length && left[i] === right[j]))
      if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) i += 1;
      else j += 1;
    rows.push(...sideBySide(a.slice(startA, i), b.slice(startB, j)));
    for (; i < a.length && j < b.length && left[i] === right[j]; i++, j++)
      rows.push({ mark: a[i] === b[j] ? "same" : "alike", a: a[i] ?? null, b: b[j] ?? null });
  }
  return rows;
}

function sideBySide(a: readonly string[], b: readonly string[]): ComparedRow[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, index) => {
    const [one = null, two = null] = [a[index], b[index]];
    return { mark: one === null ? "only-b" : two === null ? "only-a" : "changed", a: one, b: two };
  });
}
