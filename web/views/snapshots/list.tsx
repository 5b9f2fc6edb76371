import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Snapshot } from "../../../api/schema.ts";
import { Age } from "../../parts/age.tsx";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";

const COLUMNS: readonly Column<Snapshot>[] = [
  {
    ...{ title: "Name", width: 10, grows: 2, rank: 0 },
    cell: ({ id, tags }) => <Text text={tags[0] ?? id} />,
  },
  { title: "Id", width: 8, grows: 1, rank: 1, cell: ({ id }) => <code>{id}</code> },
  { title: "Age", width: 3, rank: 1, align: "right", cell: ({ createdAt }) => <Age time={createdAt} /> },
];
const keyOf = ({ id }: Snapshot): string => id;
const link = ({ id }: Snapshot) => ({ to: "/snapshots/$id", params: { id } }) as const;

export function List() {
  const search = getRouteApi("/snapshots").useSearch();
  const all = useHost(({ snapshots }) => snapshots);
  const rows = useMemo(
    () =>
      [...all.values()]
        .filter(({ id, tags }) => matches(`${id} ${tags.join(" ")}`, search.q ?? ""))
        .sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    [all, search.q],
  );
  return (
    <>
      <FilterBar search={search} shown={rows.length} all={all.size} />
      <Table
        {...{ label: "Snapshots", rows, keyOf, link, columns: COLUMNS }}
        empty={<Empty command={["template", "build", "base"]}>No snapshots here.</Empty>}
      />
    </>
  );
}
