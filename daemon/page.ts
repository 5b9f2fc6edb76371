/** Pages of lists that are sorted by creation. */
import type { z } from "zod";
import type { pageQuery } from "../api/schema.ts";

interface Sorting<T> {
  idOf: (item: T) => string;
  createdAt: (item: T) => string;
  newestFirst?: boolean;
}

/** All items as they are, or those of a page, sorted. `next` is null on the last page. */
export function pageOf<T>(
  items: readonly T[],
  { limit, after }: z.output<typeof pageQuery>,
  { idOf, createdAt, newestFirst = false }: Sorting<T>,
): { items: readonly T[]; next: string | null } {
  if (limit === undefined && after === undefined) return { items, next: null };
  const place = (item: T): string => `${createdAt(item)} ${idOf(item)}`;
  const isBefore = (a: string, b: string): boolean => (newestFirst ? a > b : a < b);
  const rest = items
    .map((item) => ({ item, at: place(item) }))
    .filter(({ at }) => after === undefined || isBefore(after, at))
    .sort((a, b) => (isBefore(a.at, b.at) ? -1 : 1));
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  return {
    items: page.map(({ item }) => item),
    next: last === undefined || page.length === rest.length ? null : last.at,
  };
}
