import { formatNext, formatUntil } from "../../api/next.ts";
import type { Next as NextAction } from "../../api/schema.ts";
import { useNow } from "../state/now.ts";

/** What happens to a sandbox by itself, and when. */
export function Next({ next }: { next: NextAction | null }) {
  const text = useNow((nowMs) => formatNext(next, nowMs));
  return next === null ? (
    <span className="dim">–</span>
  ) : (
    <time dateTime={next.at} title={new Date(next.at).toLocaleString()}>
      {text}
    </time>
  );
}

/** How long until a time; the exact time is its title. */
export function Until({ time }: { time: string }) {
  const text = useNow((nowMs) => formatUntil(time, nowMs));
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {text === "now" ? text : `in ${text}`}
    </time>
  );
}
