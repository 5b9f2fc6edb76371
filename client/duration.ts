const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const maxMs = 31_536_000_000;

/** What a duration looks like; `parseDuration` says whether it is one. */
export const durationPattern = /^(\d+(\.\d+)?(ms|[smhd]))+$/;

/** Parses `500ms`, `2s`, `1.5m`, `1h`, `1h30m`. @returns milliseconds, between 1 and a year's. @throws RangeError */
export function parseDuration(text: string): number {
  if (!durationPattern.test(text)) {
    throw new RangeError("It is not a duration: write 500ms, 2s, 10m, 1h or 1h30m.");
  }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  const ms = Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * (unitMs[unit ?? ""] ?? 0), 0));
  if (ms < 1 || ms > maxMs) throw new RangeError("A duration is between 1ms and 365d.");
  return ms;
}
