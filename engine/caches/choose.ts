/** Which of the caches of a host is restored, and which go. Pure. */
import type { Cache, CacheRequest } from "../../api/cache.ts";

/**
 * Scope by scope, first choice first: the one of the key itself, else the newest whose key begins as one of `restoreKeys` says, first choice first.
 * @param diskMib size of the sandbox's disk: those of others don't fit
 */
export function chooseCache<T extends Cache>(
  all: readonly T[],
  wanted: Pick<CacheRequest, "repository" | "read" | "key" | "restoreKeys">,
  diskMib: number,
): T | null {
  const fitting = all.filter((one) => one.repository === wanted.repository && one.diskMib === diskMib);
  for (const scope of wanted.read) {
    const here = fitting.filter((one) => one.scope === scope);
    const exact = here.find(({ key }) => key === wanted.key);
    if (exact) return exact;
    for (const prefix of wanted.restoreKeys) {
      const newest = here
        .filter(({ key }) => key.startsWith(prefix))
        .sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0];
      if (newest) return newest;
    }
  }
  return null;
}

export interface CacheBudget {
  maxCount: number;
  maxBytes: number;
  maxAgeMs: number;
}

export interface CacheRemoval {
  id: string;
  bytes: number;
  reason: string;
}

/** Those that no run has used for too long, then of too many or too much those that were used longest ago. */
export function overBudget(all: readonly Cache[], budget: CacheBudget, nowMs: number): CacheRemoval[] {
  const { maxCount, maxBytes, maxAgeMs } = budget;
  const latestFirst = [...all].sort((a, b) => b.usedAt.localeCompare(a.usedAt));
  let count = 0;
  let bytes = 0;
  return latestFirst.flatMap(({ id, storedBytes, usedAt }) => {
    const removal = (reason: string): CacheRemoval[] => [{ id, bytes: storedBytes, reason }];
    if (nowMs - Date.parse(usedAt) > maxAgeMs) return removal("not used for longer than caches.maxAge");
    if (count + 1 > maxCount) return removal(`more than caches.maxCount (${maxCount})`);
    if (bytes + storedBytes > maxBytes) return removal("more bytes than caches.maxBytes");
    count += 1;
    bytes += storedBytes;
    return [];
  });
}
