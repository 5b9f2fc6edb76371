/** The arithmetic of memory: what is taken, what is claimed, and what that leaves for one more machine. Pure. All figures are MiB. */

export interface MemoryLimits {
  /** Of all machines together: what they own and what is claimed for them. */
  memoryMib: number;
  /** Left available to the rest of the host. */
  reserveMib: number;
  /** One part in this many of what machines may still come to own is kept for them. 1: all of it, so nothing is over-committed. */
  overcommit: number;
}

export interface MemoryClaims {
  /** Of the host, for machines. What anything owns, copies of snapshots' memory among it, is not in it any more. */
  availableMib: number;
  /** Owned by machines alone: pages that they share with a snapshot are not. */
  ownedMib: number;
  /** What machines that run or are paused may own at most. */
  fullMib: number;
  /** What is starting, in full: the host does not show it yet. */
  startingMib: number;
  /** Helpers and second processes of freezes, in full. */
  helpersMib: number;
}

/** What is kept for machines that grow. */
export function growthMib({ fullMib, ownedMib }: MemoryClaims, { overcommit }: MemoryLimits): number {
  return Math.ceil(Math.max(0, fullMib - ownedMib) / overcommit);
}

/** How much more may be given out; not below 0. */
export function roomMib(claims: MemoryClaims, limits: MemoryLimits): number {
  const claimed = claims.startingMib + claims.helpersMib + growthMib(claims, limits);
  const byHost = claims.availableMib - claimed - limits.reserveMib;
  return Math.max(0, Math.min(byHost, limits.memoryMib - claims.ownedMib - claimed));
}

/** Why `neededMib` can't be given out, with the figures; null when it can. */
export function lacksMemory(neededMib: number, claims: MemoryClaims, limits: MemoryLimits): string | null {
  const room = roomMib(claims, limits);
  return neededMib <= room
    ? null
    : `${neededMib} MiB needed, ${room} MiB can be given out: ${describe(claims, limits)}`;
}

export function describe(claims: MemoryClaims, limits: MemoryLimits): string {
  const { availableMib, ownedMib, startingMib, helpersMib } = claims;
  return [
    `${Math.max(0, availableMib)} MiB are available on the host`,
    `${limits.reserveMib} are kept free`,
    `machines own ${ownedMib} of ${limits.memoryMib}`,
    `${startingMib + helpersMib} are for what is starting`,
    `${growthMib(claims, limits)} for machines to grow (overcommit ${limits.overcommit})`,
  ].join(", ");
}
