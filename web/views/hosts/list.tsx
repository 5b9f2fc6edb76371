import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { DaemonInfo } from "../../../api/schema.ts";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Loading } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";

const COLUMNS: readonly Column<DaemonInfo>[] = [
  { title: "Name", width: 10, grows: 1, rank: 0, cell: ({ host }) => <Text text={host} /> },
  { title: "Version", width: 6, grows: 1, rank: 1, cell: ({ version }) => version },
  { title: "Sandboxes", width: 6, rank: 1, align: "right", cell: ({ sandboxes }) => sandboxes },
];
const keyOf = ({ host }: DaemonInfo): string => host;
const link = ({ host }: DaemonInfo) => ({ to: "/hosts/$name", params: { name: host } }) as const;

export function List() {
  const search = getRouteApi("/hosts").useSearch();
  const info = useHost((host) => host.info);
  const rows = useMemo(
    () => (info !== undefined && matches(info.host, search.q ?? "") ? [info] : []),
    [info, search.q],
  );
  return (
    <>
      <FilterBar search={search} shown={rows.length} all={info === undefined ? 0 : 1} />
      <Table
        {...{ label: "Hosts", rows, keyOf, link, columns: COLUMNS }}
        empty={<Loading what="the host" />}
      />
    </>
  );
}
