/** What snapshots have for themselves, and what they share. Snapshots of a host share the files of parts that are the same. */
import type { Snapshot } from "../../api/schema.ts";

/** How many of a host's snapshots have a part, by its digest. */
export type Holders = ReadonlyMap<string, number>;

export function holdersOf(snapshots: Iterable<Pick<Snapshot, "parts">>): Holders {
  const holders = new Map<string, number>();
  for (const { parts } of snapshots)
    for (const { sha256 } of parts) holders.set(sha256, (holders.get(sha256) ?? 0) + 1);
  return holders;
}

/** Bytes of the parts that only these snapshots of the host have: what the disk gets back without them. */
export function ownBytes(snapshots: readonly Pick<Snapshot, "parts">[], holders: Holders): number {
  let bytes = 0;
  const parts = snapshots.flatMap((snapshot) => snapshot.parts);
  for (const [digest, same] of Map.groupBy(parts, ({ sha256 }) => sha256))
    if (same.length === holders.get(digest)) bytes += same[0]?.storedBytes ?? 0;
  return bytes;
}

/** Bytes of a snapshot's parts that others have too. */
export function sharedBytes(snapshot: Pick<Snapshot, "parts">, holders: Holders): number {
  return (
    snapshot.parts.reduce((sum, { storedBytes }) => sum + storedBytes, 0) - ownBytes([snapshot], holders)
  );
}
