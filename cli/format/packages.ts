import type { PackageSummary } from "../../client/index.ts";
import { formatAge } from "./age.ts";

/** For a column: `3 of 154`, by the index that the host has; empty when it is not known. */
export function formatOutdated(packages: PackageSummary | null | undefined): string {
  return packages == null || packages.outdated === null ? "" : `${packages.outdated} of ${packages.count}`;
}

/** For a line: how many packages there are, and how many are outdated by an index of which age. */
export function describePackages(packages: PackageSummary | null | undefined, nowMs?: number): string {
  if (packages == null) return "not known";
  const { manager, system, count, outdated, indexAt } = packages;
  const all = `${count} (${[manager, system].filter((word) => word !== "").join(", ")})`;
  if (outdated === null || indexAt === null)
    return `${all}; this host has no index that tells which are outdated`;
  return `${all}; ${outdated} are outdated by the index that was fetched ${formatAge(indexAt, nowMs)}`;
}
