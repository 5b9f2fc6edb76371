import type { IncomingHttpHeaders } from "node:http";
import { type Caller, callingAs } from "../engine/caller.ts";
import { doingFor } from "../engine/tracing.ts";
import type { DaemonContext } from "./context.ts";

/** Who asks. A socket that lets in its owner (and root) only tells the user; process and version are the client's own word. */
function callerOf({ group }: Pick<DaemonContext, "group">, headers: IncomingHttpHeaders): Caller {
  const pid = Number(headers["thaw-client-pid"]);
  const version = headers["thaw-client-version"];
  return {
    from: "socket",
    uid: group === null ? (process.getuid?.() ?? null) : null,
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
    client: typeof version === "string" ? version.slice(0, 64) : null,
  };
}

/** Does what a client asks for, in its name, and as a part of what it is doing. */
export function askedBy<T>(
  context: Pick<DaemonContext, "group">,
  headers: IncomingHttpHeaders,
  work: () => T,
): T {
  const { traceparent } = headers;
  const span = typeof traceparent === "string" ? traceparent : null;
  return callingAs(callerOf(context, headers), () => doingFor(span, work));
}
