/** Follows the daemon for as long as the page is open, whenever there is a session. */
import { useEffect } from "react";
import { formatCommand, formatTrigger } from "../../api/ending.ts";
import { Follower } from "../../client/follow/host.ts";
import { addSample } from "../../client/follow/state.ts";
import { thaw } from "../client.ts";
import { pageHost, useHost } from "./page-host.ts";
import { checkSession, session } from "./session.ts";

/** Follows from the moment on that there is a session, until it ends; then from the next one on. */
export async function followHost(): Promise<never> {
  for (;;) {
    await session.until(({ state }) => state === "in");
    const abort = new AbortController();
    const follower = new Follower({
      client: thaw,
      set: pageHost.set,
      isReadable,
      signal: abort.signal,
    });
    const following = follower.follow();
    await session.until(({ state }) => state !== "in");
    abort.abort();
    await following;
  }
}

// a new link that was opened in another tab has made a session for this one too
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && session.value.state === "out") void checkSession();
});

/** Whether what the lists and the palette read of a thing is there: a daemon of another version may send what we do not know. */
export function isReadable(kind: string, thing: unknown): boolean {
  try {
    const { id, name, createdAt, tags, exec } = thing as Record<string, unknown>;
    const isText = (text: unknown): boolean => typeof text === "string";
    switch (kind) {
      case "templates":
        return isText(name);
      case "snapshots":
        return isText(id) && isText(createdAt) && Array.isArray(tags);
      case "captures":
        if (exec !== null) formatCommand((exec as { argv: string[] }).argv, 80);
        formatTrigger(thing as never);
        return isText(id) && isText(createdAt);
      default:
        return isText(id) && isText(name) && isText(createdAt);
    }
  } catch {
    return false;
  }
}

/** Takes samples of what sandboxes use, until the signal aborts. */
export async function followUsage(signal: AbortSignal): Promise<void> {
  try {
    for await (const sample of thaw.stats({ follow: true, signal }))
      pageHost.set((host) => addSample(host, sample));
  } catch {
    // the follower says that the host is away
  }
}

/** Takes samples for as long as the component is there. */
export function useUsage(): void {
  const status = useHost((host) => host.status);
  useEffect(() => {
    if (status !== "here") return;
    const abort = new AbortController();
    void followUsage(abort.signal);
    return () => abort.abort();
  }, [status]);
}
