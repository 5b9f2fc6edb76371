/** Takes samples of two things in turn, so that what else the host does falls on both. The order within a pair alternates. */
export interface Pair {
  runs: number;
  ours: () => Promise<number>;
  against: () => Promise<number>;
  signal: AbortSignal;
}

/** The first of each, which warms caches, is thrown away. */
export async function interleave({
  runs,
  ours,
  against,
  signal,
}: Pair): Promise<{ ours: number[]; against: number[] }> {
  const samples: { ours: number[]; against: number[] } = { ours: [], against: [] };
  for (let run = 0; run <= runs; run++) {
    const order = run % 2 === 0 ? (["ours", "against"] as const) : (["against", "ours"] as const);
    for (const which of order) {
      signal.throwIfAborted();
      const sample = await (which === "ours" ? ours() : against());
      if (run > 0) samples[which].push(sample);
    }
  }
  return samples;
}

/** `runs` samples after one that is thrown away. */
export async function repeat(
  runs: number,
  signal: AbortSignal,
  sample: () => Promise<number>,
): Promise<number[]> {
  const samples: number[] = [];
  for (let run = 0; run <= runs; run++) {
    signal.throwIfAborted();
    const value = await sample();
    if (run > 0) samples.push(value);
  }
  return samples;
}

/** Milliseconds until `work` has resolved. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
