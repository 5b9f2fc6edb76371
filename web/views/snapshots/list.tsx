import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { formatSize } from "../../../api/size.ts";
import { ownBytes } from "../../../client/follow/shares.ts";
import { Age } from "../../parts/age.tsx";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Outdated } from "../../parts/packages.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { filterSnapshots, makeRows, type SnapshotRow } from "./rows.ts";

const COLUMNS: readonly Column<SnapshotRow>[] = [
  { title: "Name", width: 9, grows: 2, rank: 0, cell: ({ name }) => <Text text={name} /> },
  {
    ...{ title: "Other tags", width: 6, grows: 1, rank: 8 },
    cell: ({ snapshot: { tags } }) => <Text className="dim" text={tags.slice(1).join(" ") || "–"} />,
  },
  {
    ...{ title: "Template", width: 6, grows: 1, rank: 5 },
    cell: ({ snapshot: { template } }) => <Text text={template ?? "–"} />,
  },
  { title: "Id", width: 9, rank: 7, cell: ({ snapshot: { id } }) => <code>{id}</code> },
  {
    ...{ title: "Size", width: 4.5, rank: 1, align: "right" },
    cell: ({ snapshot: { storedBytes } }) => formatSize(storedBytes),
  },
  {
    ...{ title: "Its own", width: 4.5, rank: 4, align: "right" },
    cell: ({ snapshot, holders }) => formatSize(ownBytes([snapshot], holders)),
  },
  {
    ...{ title: "Outdated", width: 5, rank: 6, align: "right" },
    cell: ({ snapshot: { packages } }) => <Outdated packages={packages} />,
  },
  { title: "Used by", width: 4, rank: 3, align: "right", cell: ({ users }) => users.length },
  {
    ...{ title: "Thaws here", width: 5, grows: 1, rank: 6 },
    cell: ({ snapshot: { incompatible } }) =>
      incompatible.length === 0 ? (
        <span className="good">yes</span>
      ) : (
        <Text className="bad" text={`no: ${incompatible[0]}`} />
      ),
  },
  {
    ...{ title: "Age", width: 2.5, rank: 2, align: "right" },
    cell: ({ snapshot: { createdAt } }) => <Age time={createdAt} />,
  },
];
const keyOf = ({ snapshot: { id } }: SnapshotRow): string => id;
const link = ({ snapshot: { id } }: SnapshotRow) => ({ to: "/snapshots/$id", params: { id } }) as const;

export function List() {
  const search = getRouteApi("/snapshots").useSearch();
  const snapshots = useHost((host) => host.snapshots);
  const sandboxes = useHost((host) => host.sandboxes);
  const isThere = useHost(({ info }) => info !== undefined);
  const all = useMemo(() => makeRows(snapshots, sandboxes.values()), [snapshots, sandboxes]);
  const rows = useMemo(() => filterSnapshots(all, search), [all, search]);
  const choices = useMemo(() => {
    const templates = new Set(all.map(({ snapshot }) => snapshot.template ?? "none"));
    return [
      {
        ...{ name: "template", label: "Template" },
        options: [["", "all"], ...[...templates].sort().map((name) => [name, name] as const)] as const,
      },
      {
        ...{ name: "thaws", label: "Thaws here" },
        options: [
          ["", "all"],
          ["yes", "yes"],
          ["no", "no"],
        ] as const,
      },
    ];
  }, [all]);
  return (
    <>
      <FilterBar search={search} choices={choices} shown={rows.length} all={all.length} />
      <Table
        {...{ label: "Snapshots", filter: search, rows, keyOf, link, columns: COLUMNS }}
        empty={
          !isThere ? null : all.length > 0 ? (
            <Empty>No snapshot passes these filters.</Empty>
          ) : (
            <Empty command={["template", "build", "base"]}>No snapshots. This makes one of a template:</Empty>
          )
        }
      />
    </>
  );
}
