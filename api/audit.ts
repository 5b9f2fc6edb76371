/** Who did what on a host. */
import { z } from "zod";

export const auditEntry = z.object({
  time: z.string(),
  /** `create`, `exec`, `token rm` … */
  verb: z.string(),
  /** What it was done to: the name of a sandbox, the id of a capture … */
  target: z.string(),
  by: z.object({
    /** How the request came: the socket, the TCP listener, or the daemon by itself. */
    from: z.enum(["socket", "listener", "daemon"]),
    token: z.string().optional(),
    session: z.string().optional(),
    /** Owner of the socket; null when others may open it too, and at the listener. */
    uid: z.int().nullable(),
    /** Told by the client, not proven. */
    pid: z.int().nullable(),
    client: z.string().nullable(),
  }),
  /** What else is known of it. */
  details: z.record(z.string(), z.unknown()),
});

export const auditQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(200),
  /** `next` of the answer before: continues with older entries. */
  before: z.coerce.number().int().min(0).optional(),
});

/** Newest first. */
export const auditPage = z.object({
  entries: z.array(auditEntry),
  /** null: there is nothing older. */
  next: z.int().nullable(),
});

export type AuditEntry = z.infer<typeof auditEntry>;
export type AuditPage = z.infer<typeof auditPage>;
