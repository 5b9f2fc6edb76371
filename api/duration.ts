/** Lengths of time as people write them: in flags, in thaw.yaml, in config.yaml. */

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A year, in milliseconds. No length of time is longer. */
export const MAX_DURATION_MS = 31_536_000_000;

/** The syntax of a duration. `parseDuration` also checks its range. */
export const DURATION_PATTERN = /^(\d+(\.\d+)?(ms|[smhd]))+$/;

export const DURATION_PHRASE = "a duration such as 500ms, 10m, 1h or 1h30m, between 1ms and 365d";

/** Parses `500ms`, `2s`, `1.5m`, `1h`, `1h30m`. @returns milliseconds, 1 to a year's. @throws RangeError */
export function parseDuration(text: string): number {
  if (!DURATION_PATTERN.test(text)) {
    throw new RangeError("It is not a duration: write 500ms, 2s, 10m, 1h or 1h30m.");
  }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  const ms = Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNIT_MS[unit ?? ""] ?? 0), 0));
  if (!(ms >= 1 && ms <= MAX_DURATION_MS)) throw new RangeError("A duration is between 1ms and 365d.");
  return ms;
}

const UNITS_DOWN = ["d", "h", "m", "s", "ms"] as const;

/** As `parseDuration` reads it: `1h30m`. */
export function writeDuration(ms: number): string {
  let left = Math.max(1, Math.round(ms));
  return UNITS_DOWN.map((unit) => {
    const count = Math.floor(left / (UNIT_MS[unit] ?? 1));
    left -= count * (UNIT_MS[unit] ?? 1);
    return count === 0 ? "" : `${count}${unit}`;
  }).join("");
}

/** A length of time: `0.1s`, `31.2s`, `4m 05s`, `1h 02m`. */
export function formatElapsed(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const pad = (n: number): string => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${pad(Math.floor((whole % 3600) / 60))}m`;
}
