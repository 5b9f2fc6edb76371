/** Packages of a snapshot, and which are outdated by the index that the host fetched last. */
import { useQuery } from "@tanstack/react-query";
import type { Snapshot, SnapshotPackages } from "../../api/schema.ts";
import { thaw } from "../client.ts";
import { Age } from "./age.tsx";
import { Empty, Failed, Loading } from "./states.tsx";
import { Text } from "./text.tsx";

type Summary = Snapshot["packages"];

/** For a column: `3 of 154`. */
export function Outdated({ packages }: { packages: Summary | undefined }) {
  if (packages == null || packages.outdated === null) return <span className="dim">–</span>;
  const { outdated, count } = packages;
  return <span className={outdated > 0 ? "warn" : "dim"}>{`${outdated} of ${count}`}</span>;
}

export function PackageSummary({ packages }: { packages: Summary | undefined }) {
  if (packages == null) return "not known";
  const { manager, system, count, outdated, indexAt } = packages;
  return (
    <>
      <Text text={`${count} (${[manager, system].filter((word) => word !== "").join(", ")}); `} />
      {outdated === null || indexAt === null ? (
        "this host has no index that tells which are outdated"
      ) : (
        <>
          <span className={outdated > 0 ? "warn" : "good"}>{outdated} are outdated</span> by the index that
          was fetched <Age time={indexAt} /> ago
        </>
      )}
    </>
  );
}

function PackageTable({ packages }: { packages: SnapshotPackages["packages"] }) {
  const outdated = packages.filter(({ newer }) => newer !== null);
  const others = packages.filter(({ newer }) => newer === null);
  return (
    <table>
      <thead>
        <tr>
          <th>Package</th>
          <th>Version</th>
          <th>Newer</th>
        </tr>
      </thead>
      <tbody>
        {[...outdated, ...others].map(({ name, version, architecture, newer }) => (
          <tr key={`${name} ${architecture}`}>
            <td>
              <Text className="mono" text={name} />
            </td>
            <td>
              <Text className="mono" text={version} />
            </td>
            <td className="wide warn">
              <Text className="mono" text={newer ?? ""} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Those of a snapshot, the outdated first. @param id of the snapshot */
export function Packages({ id, summary }: { id: string; summary: Summary | undefined }) {
  const isKnown = summary != null;
  const list = useQuery({
    queryKey: ["packages", id],
    queryFn: ({ signal }) => thaw.snapshots.packages(id, { signal }),
    enabled: isKnown,
  });
  if (!isKnown)
    return (
      <Empty>
        Its packages are not known: it was frozen of a sandbox, comes from elsewhere, or is of an earlier
        thaw.
      </Empty>
    );
  if (list.error !== null) return <Failed error={list.error} retry={() => void list.refetch()} />;
  if (list.data === undefined) return <Loading what="packages" />;
  return (
    <>
      <p>
        <PackageSummary packages={summary} />
      </p>
      <PackageTable packages={list.data.packages} />
    </>
  );
}
