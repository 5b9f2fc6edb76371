const BARS = "▁▂▃▄▅▆▇█";

/** The last values as a graph of `width` columns; values run from 0 to `most`. */
export function sparkline(values: readonly number[], most: number, width: number): string {
  const shown = values.slice(-width).map((value) => {
    const step = most <= 0 ? 0 : Math.round((value / most) * (BARS.length - 1));
    return BARS[Math.min(BARS.length - 1, Math.max(0, step))];
  });
  return shown.join("").padStart(width, "·");
}

/** A share from 0 to 1 as a bar of `width` columns. */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}
