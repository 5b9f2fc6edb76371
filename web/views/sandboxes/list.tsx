import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Sandbox } from "../../../api/schema.ts";
import { Age } from "../../parts/age.tsx";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";

const COLUMNS: readonly Column<Sandbox>[] = [
  { title: "Name", width: 10, grows: 2, rank: 0, cell: ({ name }) => <Text text={name} /> },
  { title: "State", width: 6, rank: 0, cell: ({ state }) => state },
  { title: "From", width: 8, grows: 1, rank: 2, cell: ({ from }) => <Text text={from} /> },
  { title: "Age", width: 3, rank: 1, align: "right", cell: ({ createdAt }) => <Age time={createdAt} /> },
];
const keyOf = ({ id }: Sandbox): string => id;
const link = ({ id }: Sandbox) => ({ to: "/sandboxes/$id", params: { id } }) as const;

export function List() {
  const search = getRouteApi("/sandboxes").useSearch();
  const all = useHost(({ sandboxes }) => sandboxes);
  const rows = useMemo(
    () =>
      [...all.values()]
        .filter(({ name, state, from }) => matches(`${name} ${state} ${from}`, search.q ?? ""))
        .sort((a, b) => b.createdAt.localeCompare(a.createdAt)),
    [all, search.q],
  );
  return (
    <>
      <FilterBar search={search} shown={rows.length} all={all.size} />
      <Table
        {...{ label: "Sandboxes", rows, keyOf, link, columns: COLUMNS }}
        empty={<Empty command={["run", "--", "uname", "-a"]}>No sandboxes here.</Empty>}
      />
    </>
  );
}
