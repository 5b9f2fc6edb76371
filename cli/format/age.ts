export { formatElapsed } from "../../api/duration.ts";

const steps: readonly [unit: string, seconds: number][] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

/** How long ago an ISO 8601 time was, in its largest unit: `12m ago`. A time to come counts as now. */
export function formatAge(time: string, nowMs: number = Date.now()): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(time)) / 1000));
  const [unit, length] = steps.find(([, length]) => seconds >= length) ?? ["s", 1];
  return `${Math.floor(seconds / length)}${unit} ago`;
}
