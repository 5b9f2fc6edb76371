/** The time, for ages: one clock for all of them, which stands still while nobody sees the page. */
import { useSyncExternalStore } from "react";

const TICK_MS = 1000;
let nowMs = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  if (document.hidden) return;
  nowMs = Date.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(tick, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** What `format` makes of the time. Drawn anew only when that is another text. */
export function useNow(format: (nowMs: number) => string): string {
  return useSyncExternalStore(subscribe, () => format(nowMs));
}
