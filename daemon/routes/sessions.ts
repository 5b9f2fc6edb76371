/** How a browser gets in: a one-time ticket, and the session that it begins. */
import type { IncomingMessage } from "node:http";
import { session, sessionRequest, ticket, ticketRequest } from "../../api/schema.ts";
import type { Session, Token } from "../../api/token.ts";
import { EngineError } from "../../engine/errors.ts";
import { accessOf, needRights } from "../access/guard.ts";
import { lesser } from "../access/rights.ts";
import { sessionCookie } from "../access/session-cookie.ts";
import { type Admission, BrowserTickets } from "../access/tickets.ts";
import type { App, DaemonContext } from "../context.ts";

const DEFAULT_SESSION_MS = 12 * 3_600_000;
/** A ticket or a token, and nothing else. */
const BODY_LIMIT_BYTES = 1_024;
/** Of tickets and tokens that are not valid, a minute. */
const MAX_REFUSED = 60;

export function sessionRoutes(app: App, { engine: { audit }, tokens, page }: DaemonContext): void {
  const tickets = new BrowserTickets();
  const refused = new PerMinute(MAX_REFUSED);

  app.post(
    "/v1/tickets",
    { schema: { body: ticketRequest, response: { 201: ticket } } },
    async ({ body, raw }, reply) => {
      const access = accessOf(raw);
      const own = access === undefined || access.rights === "none" ? "admin" : access.rights;
      const { rights = lesser("operate", own), sessionTtlMs = DEFAULT_SESSION_MS, listen = false } = body;
      needRights(raw, rights);
      if (listen && access === undefined) await page.begin();
      const url = await page.url();
      const made = tickets.create({ rights, sessionTtlMs, parent: access?.token?.id ?? null });
      url.hash = `ticket=${made.ticket}`;
      audit.note("ticket create", rights, { expiresAt: made.expiresAt });
      return reply
        .code(201)
        .header("cache-control", "no-store")
        .send({ ...made, url: url.href });
    },
  );

  app.post(
    "/v1/session",
    { bodyLimit: BODY_LIMIT_BYTES, schema: { body: sessionRequest, response: { 201: session } } },
    async ({ body, raw }, reply) => {
      const origin = pageOriginAt(raw);
      const admission = "ticket" in body ? tickets.take(body.ticket) : admissionOf(body.token);
      if (admission === null)
        throw refused.isTooMany()
          ? new EngineError("no-capacity", "too many links and tokens were not valid", {
              hint: "wait a minute",
            })
          : new EngineError(
              "not-authenticated",
              "ticket" in body
                ? "the link was used already, or its minute is over"
                : "the token is not valid, or not any more",
              { hint: "ticket" in body ? "thaw ui makes another link" : "on that host: thaw token ls" },
            );
      const { sessionTtlMs: ttlMs, ...by } = admission;
      const [made, secret] = await tokens.openSession({ ...by, ttlMs });
      audit.note("session begin", made.name, { rights: made.rights, expiresAt: made.expiresAt });
      return reply
        .code(201)
        .header("cache-control", "no-store")
        .header("set-cookie", sessionCookie(secret, origin, leftMs(made)))
        .send(shown(made));
    },
  );

  app.get("/v1/session", { schema: { response: { 200: session } } }, async ({ raw }) =>
    shown(requesterOf(raw)),
  );

  app.delete("/v1/session", { schema: {} }, async ({ raw }, reply) => {
    const { id, kind, name } = requesterOf(raw);
    if (kind === "token")
      throw new EngineError("usage", `${name} is a token`, { hint: `thaw token rm ${name}` });
    await tokens.revoke(id, raw.socket);
    audit.note("session end", name);
    return reply
      .code(204)
      .header("connection", "close")
      .header("set-cookie", sessionCookie("", pageOriginAt(raw), 0))
      .send();
  });

  function admissionOf(text: string): Admission | null {
    const token = tokens.check(text, "token");
    return token && { rights: token.rights, sessionTtlMs: DEFAULT_SESSION_MS, parent: token.id };
  }
}

/** Throws `not-allowed` for a request that the page did not make: a session counts there only. */
function pageOriginAt(request: IncomingMessage): string {
  const page = accessOf(request)?.page ?? null;
  if (page === null)
    throw new EngineError("not-allowed", "a session begins and ends at the page", { hint: "thaw ui" });
  return page;
}

/** Right ones are answered always. */
class PerMinute {
  readonly #most: number;
  #since = 0;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts one more. */
  isTooMany(): boolean {
    const now = performance.now();
    if (now - this.#since > 60_000) [this.#since, this.#count] = [now, 0];
    this.#count += 1;
    return this.#count > this.#most;
  }
}

function requesterOf(request: IncomingMessage): Token {
  const token = accessOf(request)?.token ?? null;
  if (token === null)
    throw new EngineError("not-authenticated", "the socket's users have all rights, without a session");
  return token;
}

function shown({ name, rights, expiresAt }: Token): Session {
  return { name, rights, expiresAt };
}

function leftMs({ expiresAt }: Token): number {
  return Math.max(0, Date.parse(expiresAt ?? "") - Date.now());
}
