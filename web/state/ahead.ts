/** Parts of the page that are loaded when they are needed, and ahead of that when the page has nothing to do: a daemon that goes away takes none along. */
import { ThawError } from "../../client/errors.ts";

/** After the first paint. */
const AHEAD_MS = 2000;
const loads: (() => Promise<unknown>)[] = [];

/** An import that is made ahead. Its failure says what to do: without our words the router would reload the page, and what was typed were lost. */
export function ahead<T>(load: () => Promise<T>): () => Promise<T> {
  const loadOrSay = (): Promise<T> =>
    load().catch((cause: unknown) => {
      throw new ThawError(
        "daemon-unreachable",
        "this part of the page could not be loaded: the daemon is away, or another version of it has taken over",
        { hint: "reload the page when the daemon is there again", cause },
      );
    });
  loads.push(loadOrSay);
  return loadOrSay;
}

/** Loads what is not there yet, one part after the other. A part may name more while it is loaded. @param inMs 0: somebody waits for one of them */
export function loadAhead(inMs = AHEAD_MS): void {
  setTimeout(async () => {
    for (const load of loads) await load().catch(() => {});
  }, inMs);
}
