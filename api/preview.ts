/** Previews: what listens in a sandbox, shown in a browser. docs/NETWORK.md. */
import { z } from "zod";
import { MAX_DURATION_MS } from "./duration.ts";

const port = z.int().min(1).max(65_535);
const DEFAULT_TTL_MS = 3_600_000;

export const previewRequest = z.strictObject({
  /** In the sandbox. */
  port,
  /** For how long the link, or the public access, is good. */
  ttlMs: z.int().min(1_000).max(MAX_DURATION_MS).default(DEFAULT_TTL_MS),
  /** Whoever knows the address may look, without a link. */
  public: z.boolean().default(false),
});

export const preview = z.object({
  /** To be opened in a browser. Unless it is public, whoever has it may look until it expires. */
  url: z.string(),
  port,
  public: z.boolean(),
  expiresAt: z.string(),
});

/** What the record of a sandbox says of previews of one port. */
export const previewGrant = z.object({
  port,
  /** Public until then; null: not public. */
  publicUntil: z.string().nullable(),
  /** Links that were made before are not good any more. */
  linksSince: z.string().nullable(),
});

export type PreviewRequest = z.input<typeof previewRequest>;
export type Preview = z.infer<typeof preview>;
export type PreviewGrant = z.infer<typeof previewGrant>;
