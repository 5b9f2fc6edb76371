import stringWidth from "string-width";

/** Characters that take one column each and never join others: ASCII, and the signs that the dashboard itself draws with. */
export const ONE_COLUMN_EACH = /^[\x20-\x7e·–…←-↓↵→─-▟◆●✓✗]*$/;

/** Columns that a text takes in a terminal. */
export function widthOf(text: string): number {
  return ONE_COLUMN_EACH.test(text) ? text.length : stringWidth(text);
}
