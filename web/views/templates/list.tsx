import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Template } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { Age } from "../../parts/age.tsx";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Outdated } from "../../parts/packages.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";
import { useValue } from "../../state/value.ts";
import { builds } from "./builds.ts";

function Built({ template: { name, snapshot } }: { template: Template }) {
  const build = useValue(builds).get(name);
  if (build?.isRunning === true) return <span className="warn">building …</span>;
  if (build?.failure !== undefined) return <span className="bad">failed</span>;
  return snapshot === null ? <span className="dim">no</span> : <span className="good">yes</span>;
}

const COLUMNS: readonly Column<Template>[] = [
  { title: "Name", width: 7, grows: 1, rank: 0, cell: ({ name }) => <Text text={name} /> },
  { title: "Built", width: 5, rank: 0, cell: (template) => <Built template={template} /> },
  { title: "Tag", width: 7, rank: 5, cell: ({ tag }) => <Text text={tag} /> },
  {
    ...{ title: "Description", width: 10, grows: 3, rank: 3 },
    cell: ({ description }) => <Text className="dim" text={description} />,
  },
  { title: "From", width: 9, grows: 1, rank: 6, cell: ({ from }) => <Text text={from || "–"} /> },
  {
    ...{ title: "Recipe", width: 5, rank: 7 },
    cell: ({ shipped }) => (shipped ? "shipped" : <span className="dim">elsewhere</span>),
  },
  {
    ...{ title: "Outdated", width: 5, rank: 6, align: "right" },
    cell: ({ packages }) => <Outdated packages={packages} />,
  },
  {
    ...{ title: "Steps", width: 3, rank: 7, align: "right" },
    cell: ({ steps }) => (steps.length === 0 ? <span className="dim">–</span> : steps.length),
  },
  {
    ...{ title: "Size", width: 4.5, rank: 2, align: "right" },
    cell: ({ storedBytes }) => (storedBytes === 0 ? <span className="dim">–</span> : formatSize(storedBytes)),
  },
  {
    ...{ title: "Age", width: 2.5, rank: 4, align: "right" },
    cell: ({ builtAt }) => (builtAt === null ? <span className="dim">–</span> : <Age time={builtAt} />),
  },
];
const keyOf = ({ name }: Template): string => name;
const link = ({ name }: Template) => ({ to: "/templates/$name", params: { name } }) as const;
const CHOICES = [
  {
    ...{ name: "built", label: "Built" },
    options: [
      ["", "all"],
      ["yes", "yes"],
      ["no", "no"],
    ] as const,
  },
];

export function List() {
  const search = getRouteApi("/templates").useSearch();
  const all = useHost(({ templates }) => templates);
  const isThere = useHost(({ info }) => info !== undefined);
  const rows = useMemo(
    () =>
      all.filter(
        ({ name, tag, description, snapshot }) =>
          (search.built === undefined || (snapshot === null ? "no" : "yes") === search.built) &&
          matches(`${name} ${tag} ${description}`, search.q ?? ""),
      ),
    [all, search],
  );
  return (
    <>
      <FilterBar search={search} choices={CHOICES} shown={rows.length} all={all.length} />
      <Table
        {...{ label: "Templates", filter: search, rows, keyOf, link, columns: COLUMNS }}
        empty={
          !isThere ? null : all.length > 0 ? (
            <Empty>No template passes these filters.</Empty>
          ) : (
            <Empty command={["template", "ls"]}>No templates here.</Empty>
          )
        }
      />
    </>
  );
}
