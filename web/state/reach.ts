/** Says at once that nobody answers, and that somebody does again: whoever follows the events tries for long before it gives up. */
import type { Trouble } from "../../client/follow/state.ts";
import { pageHost } from "./page-host.ts";

/** A daemon that is replaced by another is away for less. */
const GRACE_MS = 1000;
const AWAY: Trouble = { message: "nobody answers" };
let timer: ReturnType<typeof setTimeout> | undefined;

/** Of each request: whether somebody answered. */
export function noteReach(isThere: boolean): void {
  if (!isThere) {
    timer ??= setTimeout(() => {
      pageHost.set((host) => (host.status === "here" ? { ...host, status: "offline", trouble: AWAY } : host));
    }, GRACE_MS);
    return;
  }
  clearTimeout(timer);
  timer = undefined;
  // what was said by others stays
  pageHost.set((host) => (host.trouble === AWAY ? { ...host, status: "here", trouble: undefined } : host));
}
