import type { Progress } from "../client/index.ts";
import { formatMs } from "./format.ts";
import type { GuestLog } from "./log.ts";

/** Tells what a step waits for: each phase when it is done, a place in line as it changes. */
export function tellProgress(log: GuestLog, { subject, phase, state, detail, elapsedMs }: Progress): void {
  if (state === "output") return;
  const what = `${subject}  ${phase}`;
  // The log takes it in order; nobody waits for it.
  if (state === "done")
    void log.say(
      `${what}${elapsedMs === undefined ? "" : ` ${formatMs(elapsedMs)}`}${detail ? ` (${detail})` : ""}`,
    );
  else if (detail !== undefined) void log.say(`${what}: ${detail}`);
}
