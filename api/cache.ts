/** Folders of a sandbox that survive it, and what a host keeps of them. */
import { z } from "zod";

/** Of a guest: absolute, in its plainest form. */
const guestFolder = z
  .string()
  .max(1024)
  .regex(/^(\/(?!\.{1,2}(\/|$))[^/\0\n]+)+$/, "an absolute path without //, . and ..")
  .refine(
    (path) => !/^\/(proc|sys|dev|run|var\/lib\/thaw)(\/|$)/.test(path),
    "a folder outside of /proc, /sys, /dev, /run and /var/lib/thaw",
  );
export const cachePaths = z
  .array(guestFolder)
  .min(1)
  .max(20)
  .refine(
    (paths) =>
      paths.every((one, at) => paths.every((other, to) => at === to || !`${one}/`.startsWith(`${other}/`))),
    "folders of which none is inside another one",
  );
/** e.g. `npm-` and a digest of the lock file. */
export const cacheKey = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\0\n]+$/, "one line");
/** What a cache was written by, such as a branch: `refs/heads/main`. */
const scope = z.string().min(1).max(1024);

/** With a sandbox's creation. */
export const cacheRequest = z.object({
  /** Nothing of one repository is ever read by another. */
  repository: z.string().min(1).max(300),
  /** Scopes that may be read, first choice first. */
  read: z.array(scope).min(1).max(10),
  /** The scope that is written; null: none is. */
  write: scope.nullable(),
  key: cacheKey,
  /** Where there is none of the key: the newest whose key begins so, first choice first. */
  restoreKeys: z.array(cacheKey).max(10).default([]),
  paths: cachePaths,
});

/** A sandbox's. */
export const sandboxCache = z.object({
  repository: z.string(),
  write: z.string().nullable(),
  key: z.string(),
  paths: z.array(z.string()),
  /** What its folders had at the start; null: nothing of an earlier run. */
  restored: z.object({ id: z.string(), key: z.string(), scope: z.string() }).nullable(),
});

/** Kept on a host. */
export const cache = z.object({
  id: z.string(),
  repository: z.string(),
  scope: z.string(),
  key: z.string(),
  paths: z.array(z.string()),
  /** It is read by sandboxes with a disk of this size. */
  diskMib: z.int(),
  /** On the host's disk. */
  storedBytes: z.int(),
  createdAt: z.string(),
  usedAt: z.string(),
});
export const cacheList = z.object({ caches: z.array(cache) });
export const cacheSaved = z.object({
  /** Null: it was not saved, and `reason` says why. */
  cache: cache.nullable(),
  reason: z.string().nullable(),
});

export type CacheRequest = z.infer<typeof cacheRequest>;
export type SandboxCache = z.infer<typeof sandboxCache>;
export type Cache = z.infer<typeof cache>;
export type CacheSaved = z.infer<typeof cacheSaved>;
