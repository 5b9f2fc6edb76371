import { useNow } from "../state/now.ts";

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
] as const;

/** How long ago, in the largest unit; seconds go by fives. */
export function formatShortAge(time: string, nowMs: number): string {
  const seconds = Math.floor((nowMs - Date.parse(time)) / 1000);
  if (Number.isNaN(seconds)) return "?";
  for (const [unit, length] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)}${unit}`;
  return seconds < 5 ? "now" : `${Math.floor(seconds / 5) * 5}s`;
}

/** An age; the exact time is its title. */
export function Age({ time }: { time: string }) {
  const text = useNow((nowMs) => formatShortAge(time, nowMs));
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {text}
    </time>
  );
}
