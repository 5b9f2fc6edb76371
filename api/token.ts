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

export type Rights = z.infer<typeof rights>;
export type Token = z.infer<typeof token>;
export type TokenRequest = z.infer<typeof tokenRequest>;
export type NewToken = z.infer<typeof newToken>;
