/** When what is shown changes by itself: ages, and what happens next. */
import type { State } from "./state/state.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const SOON = 10 * MINUTE;

/** How long the ages on the screen stay as they are. Seconds are shown of what is younger than a minute, or comes within ten. */
export function msToNextTick({ hosts, view, nowMs }: Pick<State, "hosts" | "view" | "nowMs">): number {
  const isYoung = ({ createdAt }: { createdAt: string }): boolean =>
    nowMs - Date.parse(createdAt) < MINUTE + SECOND;
  const changes = hosts.some(({ sandboxes, captures, snapshots }) => {
    if (view === "sandboxes")
      return sandboxes
        .values()
        .some((sandbox) => isYoung(sandbox) || Date.parse(sandbox.next?.at ?? "") - nowMs < SOON);
    if (view === "failures") return captures.values().some(isYoung);
    return view === "snapshots" && snapshots.values().some(isYoung);
  });
  return changes ? SECOND : MINUTE / 4;
}
