/**
 * The first of `height` rows to show, so that row `at` is among them. Moves as little as it must from `first`.
 * @param count how many rows there are
 */
export function scrollTo(at: number, first: number, height: number, count: number): number {
  let top = first;
  if (at < top) top = at;
  else if (at >= top + height) top = at - height + 1;
  return Math.max(0, Math.min(top, count - height));
}
