/** Which captures and snapshots go, and why: decided here, done in prune.ts. The rules in prose: docs/CAPTURES.md. */

/** What is absent is not limited. */
export interface Budget {
  maxCount?: number | undefined;
  maxBytes?: number | undefined;
  maxAgeMs?: number | undefined;
}

export interface Budgets {
  host: Budget;
  /** Of each repository's captures. */
  perRepository: Budget;
}

export interface KeptCapture {
  id: string;
  createdAtMs: number;
  /** Stored. */
  bytes: number;
  /** Where its run came from; null: not known. */
  repository: string | null;
  fingerprint: string;
  /** Of its own; null: none. */
  maxAgeMs: number | null;
  /** Pinned, replayed, being exported: stays whatever the budgets say. */
  bound: boolean;
}

export interface Removal {
  id: string;
  bytes: number;
  reason: string;
}

/**
 * Captures that are older than their own `maxAgeMs` go first. Then each repository's budget is applied, then the host's: captures that are too old
 * go, then the oldest where there are too many, then the oldest where they take too many bytes.
 * What is bound never goes. The first and the latest of each failure (a repository's captures of one fingerprint) go last, and only for
 * bytes: firsts before latests.
 */
export function decideCaptures(captures: readonly KeptCapture[], budgets: Budgets, nowMs: number): Removal[] {
  const oldestFirst = [...captures].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
  const failures = Map.groupBy(oldestFirst, ({ repository, fingerprint }) =>
    JSON.stringify([repository, fingerprint]),
  );
  const latest = new Set([...failures.values()].map((group) => group.at(-1)?.id));
  const first = new Set([...failures.values()].map((group) => group[0]?.id));
  const rank = ({ id }: KeptCapture): number => (latest.has(id) ? 2 : first.has(id) ? 1 : 0);
  const removals = new Map<string, Removal>();

  for (const { id, bytes, bound, createdAtMs, maxAgeMs } of oldestFirst)
    if (!bound && maxAgeMs !== null && nowMs - createdAtMs > maxAgeMs)
      removals.set(id, { id, bytes, reason: "older than its own retention" });

  const apply = (scope: readonly KeptCapture[], budget: Budget, of: string): void => {
    const left = (): KeptCapture[] => scope.filter(({ id }) => !removals.has(id));
    const loose = (): KeptCapture[] => left().filter((one) => !one.bound && rank(one) === 0);
    const remove = ({ id, bytes }: KeptCapture, reason: string): unknown =>
      removals.set(id, { id, bytes, reason });
    const { maxAgeMs, maxCount, maxBytes } = budget;
    if (maxAgeMs !== undefined)
      for (const one of loose())
        if (nowMs - one.createdAtMs > maxAgeMs) remove(one, `older than ${of} keeps (maxAge)`);
    if (maxCount !== undefined)
      for (const one of loose().slice(0, Math.max(0, left().length - maxCount)))
        remove(one, `more than the ${maxCount} that ${of} keeps (maxCount)`);
    if (maxBytes === undefined) return;
    let bytes = left().reduce((sum, one) => sum + one.bytes, 0);
    const inTurn = left()
      .filter(({ bound }) => !bound)
      .sort((a, b) => rank(a) - rank(b));
    for (const one of inTurn) {
      if (bytes <= maxBytes) return;
      remove(one, `more bytes than ${of} keeps (maxBytes)`);
      bytes -= one.bytes;
    }
  };

  for (const [repository, scope] of Map.groupBy(oldestFirst, (one) => one.repository))
    if (repository !== null) apply(scope, budgets.perRepository, repository);
  apply(oldestFirst, budgets.host, "this host");
  return [...removals.values()];
}

export interface KeptSnapshot {
  id: string;
  /** Tagged, used by a sandbox, the base of a capture, about to be used, or too young to tell. */
  bound: boolean;
  /** Snapshot or capture that it was made of and stands in for on this host; null: it stands for itself. */
  madeOf: string | null;
}

/** @returns ids of those that nothing needs. A variant is kept as long as what it was made of is needed, and the other way round. */
export function decideSnapshots(snapshots: readonly KeptSnapshot[], captures: ReadonlySet<string>): string[] {
  const bound = new Set(snapshots.filter((one) => one.bound).map(({ id }) => id));
  const origins = new Set(snapshots.filter((one) => one.bound).map(({ madeOf }) => madeOf));
  const isNeeded = ({ id, madeOf }: KeptSnapshot): boolean =>
    bound.has(id) || origins.has(id) || (madeOf !== null && (bound.has(madeOf) || captures.has(madeOf)));
  return snapshots.filter((one) => !isNeeded(one)).map(({ id }) => id);
}
