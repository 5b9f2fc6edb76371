import type { IncomingHttpHeaders } from "node:http";
import type { Caller } from "../engine/caller.ts";

/** Who asks. The socket lets in its owner (and root) only, so the user is known; process and version are the client's own word. */
export function callerOf(headers: IncomingHttpHeaders): Caller {
  const pid = Number(headers["thaw-client-pid"]);
  const version = headers["thaw-client-version"];
  return {
    from: "socket",
    uid: process.getuid?.() ?? null,
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
    client: typeof version === "string" ? version.slice(0, 64) : null,
  };
}
