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

/** What sandboxes may take. What is null is not limited. */
export const hostLimits = z.object({
  /** Those that there are now, and those that wait for room. */
  sandboxes: z.object({ most: z.int(), now: z.int(), waiting: z.int() }),
  memory: z.object({
    /** Of all machines together. */
    mostMib: z.number(),
    /** What machines own now. */
    ownedMib: z.number(),
    /** What can still be given out. */
    roomMib: z.number(),
    /** Left available to the rest of the host. */
    reserveMib: z.number(),
    /** One part in this many of what machines may still come to own is kept for them. */
    overcommit: z.number(),
  }),
  disk: z.object({
    /** Of all sandboxes' folders together. */
    mostBytes: z.number().nullable(),
    /** As last counted. */
    ownedBytes: z.number(),
    /** Left free on the disk of the state folder. */
    reserveBytes: z.number(),
  }),
  /** Output of commands, of all sandboxes together. */
  logsBytes: z.number(),
  /** Of one sandbox. */
  sandbox: z.object({
    cpus: z.int(),
    memoryMib: z.number(),
    diskBytes: z.number().nullable(),
    ttlMs: z.number().nullable(),
    logsBytes: z.number(),
  }),
  /** Of all captures together; a repository may have less. */
  captures: z.object({
    count: z.number().nullable(),
    bytes: z.number().nullable(),
    ageMs: z.number().nullable(),
  }),
  /** The configuration that changes them. */
  file: z.string(),
});

export type HostLimits = z.infer<typeof hostLimits>;
export type QuarantineEntry = z.infer<typeof quarantineEntry>;
export type PruneReport = z.infer<typeof pruneReport>;
export type Probe = z.infer<typeof probe>;
export type DoctorReport = z.infer<typeof doctorReport>;
export type DaemonInfo = z.infer<typeof daemonInfo>;
