import { z } from "zod";

/** State that could not be read: a record that is damaged, or of a newer version. */
export const quarantineEntry = z.object({
  id: z.string(),
  kind: z.string(),
  /** Its id, or the name of its file. */
  what: z.string(),
  reason: z.string(),
  at: z.string(),
  /** Where it was, or still is, relative to the state folder. */
  from: z.string(),
  /** False: it is still there. */
  moved: z.boolean(),
});
export const pruneRequest = z.object({
  /** Only say what would go. */
  dryRun: z.boolean().default(false),
});
export const removal = z.object({ id: z.string(), bytes: z.int(), reason: z.string() });
export const pruneReport = z.object({
  dryRun: z.boolean(),
  captures: z.array(removal),
  snapshots: z.array(removal),
  /** Parts of snapshots that were compressed to travel, by the beginning of their digest. */
  compressed: z.array(removal),
  /** Cached folders of runs. */
  caches: z.array(removal).default([]),
  /** Machines kept after steps of templates. */
  steps: z.array(removal).default([]),
  /** Root file systems that were made anew since, or whose image's tag leads to another image. */
  rootfs: z.array(removal).default([]),
  /** Things that can't be read and may need any snapshot or capture: while they are there, nothing that they may need goes. */
  unreadable: z.array(z.string()).default([]),
});
export const probe = z.object({
  name: z.string(),
  state: z.enum(["ok", "warning", "missing"]),
  fatal: z.boolean(),
  detail: z.string(),
  hint: z.string().optional(),
});
export const doctorReport = z.object({ ready: z.boolean(), probes: z.array(probe) });

export const daemonInfo = z.object({
  version: z.string(),
  /** Digest of the installed bundle; another one means another build. */
  digest: z.string(),
  /** The host's name, for clients that came from another one. */
  host: z.string(),
  pid: z.int(),
  home: z.string(),
  startedAt: z.string(),
  sandboxes: z.int(),
  rssBytes: z.int(),
});

export type QuarantineEntry = z.infer<typeof quarantineEntry>;
export type PruneReport = z.infer<typeof pruneReport>;
export type Probe = z.infer<typeof probe>;
export type DoctorReport = z.infer<typeof doctorReport>;
export type DaemonInfo = z.infer<typeof daemonInfo>;
