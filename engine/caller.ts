/** On whose behalf something is done, carried along with the work itself so that the audit log can say so. */
import { AsyncLocalStorage } from "node:async_hooks";
import { untraced } from "./tracing.ts";

export interface Caller {
  /** How it came: the daemon's socket, its listener, or the daemon by itself. */
  from: "socket" | "listener" | "daemon";
  /** The name of the token that let it in at the listener. */
  token?: string;
  /** The name of the browser's session that let it in. */
  session?: string;
  /** Only this user (and root) can connect to the socket. Null when others may too: the kernel's word on a peer is not to be had here. */
  uid: number | null;
  /** What the client says of itself: its process and version. Not proven. */
  pid: number | null;
  client: string | null;
}

const callers = new AsyncLocalStorage<Caller>();

const DAEMON: Caller = { from: "daemon", uid: null, pid: null, client: null };

export function callingAs<T>(caller: Caller, work: () => T): T {
  return callers.run(caller, work);
}

/** What follows is the daemon's own doing: a timer, a lease. */
export function callingAsDaemon<T>(work: () => T): T {
  return callers.run(DAEMON, () => untraced(work));
}

export function currentCaller(): Caller {
  return callers.getStore() ?? DAEMON;
}
