/** One-time tickets that let a browser in: a link of `thaw ui` has one. They are in memory, as digests, and gone when the daemon ends. */
import { randomBytes } from "node:crypto";
import type { Rights } from "../../api/token.ts";
import { sha256 } from "../../durable/digest.ts";
import { EngineError } from "../../engine/errors.ts";

const SECRET_BYTES = 32;
const VALID_MS = 60_000;
/** More are not meant: something makes them in a loop. */
const MAX_TICKETS = 100;

/** What a ticket is for. */
export interface Admission {
  rights: Rights;
  sessionTtlMs: number;
  /** Id of the token or session that the ticket was made with; null: by a user of the socket. */
  parent: string | null;
}

export class BrowserTickets {
  readonly #byDigest = new Map<string, Admission & { until: number }>();

  /** Throws `no-capacity`. */
  create(admission: Admission, now = Date.now()): { ticket: string; expiresAt: string } {
    for (const [digest, { until }] of this.#byDigest) if (until <= now) this.#byDigest.delete(digest);
    if (this.#byDigest.size >= MAX_TICKETS)
      throw new EngineError("no-capacity", `there are ${MAX_TICKETS} unused links`, {
        hint: "they expire within a minute",
      });
    const ticket = randomBytes(SECRET_BYTES).toString("base64url");
    const until = now + VALID_MS;
    this.#byDigest.set(sha256(ticket), { ...admission, until });
    return { ticket, expiresAt: new Date(until).toISOString() };
  }

  /** Uses a ticket up; null: it is none, was used, or its time is over. */
  take(ticket: string, now = Date.now()): Admission | null {
    const digest = sha256(ticket);
    const found = this.#byDigest.get(digest);
    this.#byDigest.delete(digest);
    if (found === undefined || found.until <= now) return null;
    const { until: _, ...admission } = found;
    return admission;
  }
}
