import { z } from "zod";

/** What the state folder has. A file that has several names (hard links) is counted with the first of these kinds that has it. */
export const DISK_KINDS = [
  "snapshots",
  "captures",
  "caches",
  "sandboxes",
  "steps",
  "rootfs",
  "kernels",
  "compressed",
  "imports",
  "builds",
  "quarantine",
  "versions",
  "logs",
  "other",
] as const;

export const diskEntry = z.object({
  /** Of a snapshot, capture, cache or sandbox: its id. Of others: the name of the file or folder. */
  id: z.string(),
  /** A sandbox's name, a snapshot's tags, a cache's key. */
  name: z.string().nullable(),
  /** Allocated on the disk, each file once. */
  bytes: z.int(),
  /** Bytes of files that no other entry has: the disk gets them back when the entry is removed. */
  freesBytes: z.int(),
});
export const diskKindUse = z.object({
  kind: z.enum(DISK_KINDS),
  count: z.int(),
  /** Allocated on the disk. Files that a kind before this one has are not counted. */
  bytes: z.int(),
  /** What `prune` would free of it; null: not known. */
  prunableBytes: z.int().nullable(),
  /** The complete ones. What is half made is in `bytes` only. */
  entries: z.array(diskEntry),
});
export const diskUse = z.object({
  /** The state folder. */
  home: z.string(),
  disk: z.object({
    totalBytes: z.int(),
    freeBytes: z.int(),
    /** Kept free: below this, nothing new is made. */
    reserveBytes: z.int(),
  }),
  /** Of all kinds. */
  bytes: z.int(),
  /** Of all kinds; null: not known. */
  prunableBytes: z.int().nullable(),
  kinds: z.array(diskKindUse),
  /** Files and folders that are missing in the figures, relative to the state folder: the first hundred. */
  notCounted: z.array(z.object({ path: z.string(), reason: z.string() })),
});

export type DiskKind = (typeof DISK_KINDS)[number];
export type DiskKindUse = z.infer<typeof diskKindUse>;
export type DiskUse = z.infer<typeof diskUse>;
