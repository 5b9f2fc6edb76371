/** Columns of a terminal. The library does without string-width's Intl.Segmenter, which takes 25 ms: every list is printed by this. */
import truncatedWidth from "fast-string-truncated-width";

/** Columns that a text takes. */
export function widthOf(text: string): number {
  return truncatedWidth(text).width;
}

/** The beginning of a text that fits into so many columns. */
export function cutTo(text: string, columns: number): string {
  return text.slice(0, truncatedWidth(text, { limit: columns, ellipsisWidth: 0 }).index);
}
