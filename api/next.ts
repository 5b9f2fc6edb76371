import type { Next } from "./sandbox.ts";

const words: Readonly<Record<Next["action"], string>> = {
  pause: "pause",
  stop: "freeze",
  remove: "ends",
};

/** How long until a time, in its two largest units: `9m 20s`, `1h 02m`, `3d 4h`; `now` when it has come. */
export function formatUntil(time: string, nowMs: number = Date.now()): string {
  const seconds = Math.ceil((Date.parse(time) - nowMs) / 1000);
  if (seconds <= 0) return "now";
  const [d, h, m, s] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  const pad = (n: number): string => String(n).padStart(2, "0");
  if (d > 0) return `${d}d ${h}h`;
  if (h > 0) return `${h}h ${pad(m)}m`;
  if (m >= 10 || (m > 0 && s === 0)) return `${m}m`;
  return m > 0 ? `${m}m ${pad(s)}s` : `${s}s`;
}

/** What happens next and when: `pause in 3m`, `ends in 9m 20s`. */
export function formatNext(next: Next | null, nowMs?: number): string {
  if (next === null) return "";
  const until = formatUntil(next.at, nowMs);
  return until === "now" ? `${words[next.action]} now` : `${words[next.action]} in ${until}`;
}
