import type { AgentErrorBody } from "./messages.ts";

/** The agent refused or failed a request. */
export class AgentRefusal extends Error {
  override readonly name = "AgentRefusal";
  readonly kind: AgentErrorBody["kind"];
  constructor(body: AgentErrorBody) {
    super(body.message);
    this.kind = body.kind;
  }
}

/** The session is over: the guest broke the protocol (`fault`), the connection ended (`closed`), or an answer never came (`timeout`). */
export class SessionError extends Error {
  override readonly name = "SessionError";
  readonly kind: "fault" | "closed" | "timeout";
  constructor(kind: "fault" | "closed" | "timeout", message: string) {
    super(message);
    this.kind = kind;
  }
}
