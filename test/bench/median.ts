/** The middle of the samples; NaN without any. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** What so many of a hundred samples don't exceed; NaN without any. */
function percentile(samples: readonly number[], percent: number): number {
  return samples.toSorted((a, b) => a - b)[Math.ceil((samples.length * percent) / 100) - 1] ?? Number.NaN;
}

/** What all but one in a hundred stay below. */
export function p99(samples: readonly number[]): number {
  return percentile(samples, 99);
}

/** What all but five in a hundred stay below. */
export function p95(samples: readonly number[]): number {
  return percentile(samples, 95);
}
