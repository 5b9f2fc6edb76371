/** What a view asks for by itself, over times when the daemon is away or there is no session. */
import type { QueryClient } from "@tanstack/react-query";
import { ThawError } from "../../client/errors.ts";
import { pause } from "../../client/pause.ts";
import { pageHost } from "./page-host.ts";
import { session } from "./session.ts";

/** Before it is tried again, also where the host is said to be there. */
const PAUSE_MS = 1000;
const PASSING: ReadonlySet<string> = new Set(["daemon-unreachable", "timeout", "not-authenticated"]);

/** Follows something until it ends or the signal aborts; begins anew when it broke because nobody answered. @param say why it broke; undefined: it goes on */
export async function followAgain(
  follow: () => Promise<void>,
  { signal, say = () => {} }: { signal: AbortSignal; say?: (error: unknown) => void },
): Promise<void> {
  for (;;) {
    try {
      return await follow();
    } catch (error) {
      if (signal.aborted) return;
      say(error);
      if (!(error instanceof ThawError && PASSING.has(error.code))) return;
    }
    await pause(PAUSE_MS, signal).catch(() => {});
    await Promise.all([
      session.until(({ state }) => state === "in" || signal.aborted),
      pageHost.until(({ status }) => status === "here" || signal.aborted),
    ]);
    if (signal.aborted) return;
    say(undefined);
  }
}

/** Asks for everything in sight again whenever the daemon is back, or there is a session again. */
export function askAgain(queries: QueryClient): void {
  let wasIn = session.value.state === "in";
  let wasHere = false;
  const look = (): void => {
    const isIn = session.value.state === "in";
    const isHere = pageHost.value.status === "here";
    const isBack = isIn && ((isHere && !wasHere) || !wasIn);
    [wasIn, wasHere] = [isIn, isHere];
    if (isBack) void queries.invalidateQueries();
  };
  session.subscribe(look);
  pageHost.subscribe(look);
}
