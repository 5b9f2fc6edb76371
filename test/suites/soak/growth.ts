/** Whether a figure grows. Pure. */

/** Of the samples' first part, in which caches fill and the heap finds its size. */
const WARM_UP = 1 / 3;

/** By how much the line through the samples after the warm-up rises, in their unit (least squares). @param samples at equal distances */
export function growthOf(samples: readonly number[]): number {
  const rest = samples.slice(Math.floor(samples.length * WARM_UP));
  const middle = (rest.length - 1) / 2;
  const mean = rest.reduce((sum, value) => sum + value, 0) / rest.length;
  let [above, below] = [0, 0];
  for (const [index, value] of rest.entries()) {
    above += (index - middle) * (value - mean);
    below += (index - middle) ** 2;
  }
  return below === 0 ? 0 : (above / below) * (rest.length - 1);
}
