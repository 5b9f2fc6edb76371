import type { IncomingHttpHeaders } from "node:http";
import type { Caller } from "../engine/caller.ts";
import type { DaemonContext } from "./context.ts";

/** Who asks. A socket that lets in its owner (and root) only tells the user; process and version are the client's own word. */
export function callerOf({ group }: DaemonContext, headers: IncomingHttpHeaders): Caller {
  const pid = Number(headers["thaw-client-pid"]);
  const version = headers["thaw-client-version"];
  return {
    from: "socket",
    uid: group === null ? (process.getuid?.() ?? null) : null,
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
    client: typeof version === "string" ? version.slice(0, 64) : null,
  };
}
