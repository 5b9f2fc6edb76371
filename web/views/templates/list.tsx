import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Template } from "../../../api/schema.ts";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";

const COLUMNS: readonly Column<Template>[] = [
  { title: "Name", width: 10, grows: 1, rank: 0, cell: ({ name }) => <Text text={name} /> },
];
const keyOf = ({ name }: Template): string => name;
const link = ({ name }: Template) => ({ to: "/templates/$name", params: { name } }) as const;

export function List() {
  const search = getRouteApi("/templates").useSearch();
  const all = useHost(({ templates }) => templates);
  const rows = useMemo(() => all.filter(({ name }) => matches(name, search.q ?? "")), [all, search.q]);
  return (
    <>
      <FilterBar search={search} shown={rows.length} all={all.length} />
      <Table
        {...{ label: "Templates", rows, keyOf, link, columns: COLUMNS }}
        empty={<Empty command={["template", "ls"]}>No templates here.</Empty>}
      />
    </>
  );
}
