/**
 * The first of `height` rows to show, so that row `at` is among them. Stays at `first` where it can.
 * @param count how many rows there are
 * @param step the least number of rows to scroll by. Default 1. Each scrolling writes the whole list to the terminal.
 */
export function scrollTo(at: number, first: number, height: number, count: number, step = 1): number {
  let top = first;
  if (at < top) top = at - step + 1;
  else if (at >= top + height) top = at - height + step;
  return Math.max(0, Math.min(top, count - height));
}
