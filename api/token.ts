/** Who may use the daemon's listener, and for what. */
import { z } from "zod";
import { SANDBOX_NAME_PHRASE, sandboxNamePattern } from "./patterns.ts";
import { lengthMs } from "./text.ts";

/** Each has what those before it have. `read`: see everything. `operate`: make, change and remove. `admin`: what concerns the whole host. */
export const rights = z.enum(["read", "operate", "admin"]);

export const tokenName = z.string().regex(sandboxNamePattern, SANDBOX_NAME_PHRASE);

export const token = z.object({
  id: z.string(),
  name: z.string(),
  rights,
  /** A session is a browser's: only a cookie has its secret. */
  kind: z.enum(["token", "session"]),
  /** The name of the token or session that it was made with and ends with. Null: it was made by a user of the socket, or is a token. */
  parent: z.string().nullable(),
  createdAt: z.string(),
  /** Null: never. */
  expiresAt: z.string().nullable(),
  /** To within a minute; null: not used since the daemon started. */
  lastUsedAt: z.string().nullable(),
});

export const tokenList = z.object({ tokens: z.array(token) });

export const tokenRequest = z.strictObject({ name: tokenName, rights, ttlMs: lengthMs.optional() });

/** The only time that the token itself is told. */
export const newToken = z.object({ token, secret: z.string() });

/** What lets a browser in once. */
export const ticketRequest = z.strictObject({
  /** Default: `operate`, or the caller's own if these are less. */
  rights: rights.optional(),
  /** Of the session that the ticket begins. Default: 12 hours. */
  sessionTtlMs: lengthMs.optional(),
  /** Serve the page on this machine's loopback addresses if it is not served yet. By the socket only. */
  listen: z.boolean().optional(),
});

/** The only time that the ticket is told. */
export const ticket = z.object({
  ticket: z.string(),
  /** Of the page, with the ticket in its fragment: no browser sends that to a server. */
  url: z.string(),
  /** Of the ticket: it is valid for a minute. */
  expiresAt: z.string(),
});

const secret = z.string().min(1).max(200);

export const sessionRequest = z.union([
  z.strictObject({ ticket: secret }),
  z.strictObject({ token: secret }),
]);

/** Who asks: a browser's session, or a token. */
export const session = z.object({
  name: z.string(),
  rights,
  /** Null: never. */
  expiresAt: z.string().nullable(),
});

export type Rights = z.infer<typeof rights>;
export type Token = z.infer<typeof token>;
export type TokenRequest = z.infer<typeof tokenRequest>;
export type NewToken = z.infer<typeof newToken>;
export type TicketRequest = z.infer<typeof ticketRequest>;
export type Ticket = z.infer<typeof ticket>;
export type Session = z.infer<typeof session>;
