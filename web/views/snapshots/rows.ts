/** Which snapshots the list shows, and who needs them. */
import type { Sandbox, Snapshot } from "../../../api/schema.ts";
import { type Holders, holdersOf } from "../../../client/follow/shares.ts";
import { matches, type Search } from "../../state/search.ts";

export interface SnapshotRow {
  snapshot: Snapshot;
  /** A tag, else its id. */
  name: string;
  /** Sandboxes that were thawed from it and are there now. */
  users: readonly Sandbox[];
  holders: Holders;
}

export function nameOf({ tags, id }: Pick<Snapshot, "tags" | "id">): string {
  return tags[0] ?? id;
}

export function makeRows(
  snapshots: ReadonlyMap<string, Snapshot>,
  sandboxes: Iterable<Sandbox>,
): SnapshotRow[] {
  const users = Map.groupBy(sandboxes, ({ snapshot }) => snapshot);
  const holders = holdersOf(snapshots.values());
  return [...snapshots.values()]
    .map((snapshot) => ({
      ...{ snapshot, name: nameOf(snapshot), holders },
      users: users.get(snapshot.id) ?? [],
    }))
    .sort((a, b) => b.snapshot.createdAt.localeCompare(a.snapshot.createdAt));
}

export function filterSnapshots(all: readonly SnapshotRow[], search: Search): SnapshotRow[] {
  return all.filter(
    ({ snapshot: { id, tags, template, incompatible } }) =>
      (search.template === undefined || (template ?? "none") === search.template) &&
      (search.thaws === undefined || (incompatible.length === 0 ? "yes" : "no") === search.thaws) &&
      matches(`${tags.join(" ")} ${id} ${template ?? ""}`, search.q ?? ""),
  );
}
