import type { IncomingMessage } from "node:http";
import type { Token } from "../api/token.ts";
import { type Caller, callingAs } from "../engine/caller.ts";
import { doingFor } from "../engine/tracing.ts";
import { accessOf } from "./access/guard.ts";
import type { DaemonContext } from "./context.ts";

/** Who asks. A socket that lets in its owner (and root) only tells the user; process and version are the client's own word. */
function callerOf({ group }: Pick<DaemonContext, "group">, request: IncomingMessage): Caller {
  const { headers } = request;
  const access = accessOf(request);
  const pid = Number(headers["thaw-client-pid"]);
  const version = headers["thaw-client-version"];
  return {
    from: access === undefined ? "socket" : "listener",
    ...namesOf(access?.token),
    uid: access === undefined && group === null ? (process.getuid?.() ?? null) : null,
    pid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
    client: typeof version === "string" ? version.slice(0, 64) : null,
  };
}

/** A session that was made with a token is that token's. */
function namesOf(token: Token | null | undefined): Pick<Caller, "token" | "session"> {
  if (!token) return {};
  if (token.kind === "token") return { token: token.name };
  return { ...(token.parent === null ? {} : { token: token.parent }), session: token.name };
}

/** Does what a client asks for, in its name, and as a part of what it is doing. */
export function askedBy<T>(
  context: Pick<DaemonContext, "group">,
  request: IncomingMessage,
  work: () => T,
): T {
  const { traceparent } = request.headers;
  const span = typeof traceparent === "string" ? traceparent : null;
  return callingAs(callerOf(context, request), () => doingFor(span, work));
}
