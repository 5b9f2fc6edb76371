import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { visibleText } from "../../../api/clean-text.ts";
import type { Sandbox } from "../../../api/schema.ts";
import { Age } from "../../parts/age.tsx";
import type { Action } from "../../parts/command.tsx";
import { type Choice, FilterBar } from "../../parts/filter-bar.tsx";
import { Next } from "../../parts/next.tsx";
import { Empty, Loading } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { usePageActions } from "../../shell/page-actions.ts";
import { ahead } from "../../state/ahead.ts";
import { useUsage } from "../../state/follow.ts";
import { useHost } from "../../state/page-host.ts";
import { choicesOf, describePorts, filterSandboxes, labelsOf, stateOf } from "./rows.ts";
import { CpuCell, MemoryCell } from "./usage.tsx";
import "../../parts/views.css";

const loadCreate = ahead(() => import("./create.tsx"));
const CreateForm = lazy(async () => ({ default: (await loadCreate()).CreateForm }));

function Isolation({ isolation }: Pick<Sandbox, "isolation">) {
  const tone = isolation === "kvm" ? "" : isolation.includes("not") ? "bad" : "warn";
  return (
    <span className={tone} title={isolation}>
      {isolation}
    </span>
  );
}

const COLUMNS: readonly Column<Sandbox>[] = [
  { title: "Name", width: 8, grows: 2, rank: 0, cell: ({ name }) => <Text text={name} /> },
  {
    ...{ title: "State", width: 5.5, rank: 0 },
    cell: (sandbox) => {
      const { text, tone } = stateOf(sandbox);
      return (
        <span className={tone} title={sandbox.reason === null ? undefined : visibleText(sandbox.reason)}>
          {text}
        </span>
      );
    },
  },
  { title: "From", width: 7, grows: 1, rank: 4, cell: ({ from }) => <Text text={from} /> },
  { title: "Isolation", width: 7.5, rank: 7, cell: ({ isolation }) => <Isolation isolation={isolation} /> },
  { title: "CPU", width: 7, rank: 3, cell: (sandbox) => <CpuCell sandbox={sandbox} /> },
  { title: "Memory", width: 8.5, rank: 3, cell: (sandbox) => <MemoryCell sandbox={sandbox} /> },
  { title: "Next", width: 7, rank: 5, cell: ({ next }) => <Next next={next} /> },
  {
    ...{ title: "Ports", width: 4.5, grows: 0.5, rank: 6 },
    cell: (sandbox) => <Text text={describePorts(sandbox) || "–"} />,
  },
  {
    ...{ title: "Labels", width: 6, grows: 1.5, rank: 8 },
    cell: (sandbox) => <Text className="dim" text={labelsOf(sandbox).join(" ") || "–"} />,
  },
  { title: "Age", width: 2.5, rank: 1, align: "right", cell: ({ createdAt }) => <Age time={createdAt} /> },
];
const keyOf = ({ id }: Sandbox): string => id;
const link = ({ id }: Sandbox) => ({ to: "/sandboxes/$id", params: { id } }) as const;

function choice(name: string, label: string, values: readonly string[]): Choice {
  return { name, label, options: [["", "all"], ...values.map((value) => [value, value] as const)] };
}

export function List() {
  const search = getRouteApi("/sandboxes").useSearch();
  const navigate = useNavigate();
  const all = useHost(({ sandboxes }) => sandboxes);
  const isThere = useHost(({ info }) => info !== undefined);
  useUsage();
  const actions = useMemo(
    (): readonly Action[] => [
      {
        ...{ label: "New sandbox", shortcut: "n", title: "New sandbox", args: ["create"] },
        open: () => void navigate({ to: "/sandboxes", search: (before) => ({ ...before, new: "1" }) }),
        run: async () => "",
      },
    ],
    [navigate],
  );
  usePageActions(actions);
  const rows = useMemo(() => filterSandboxes(all.values(), search), [all, search]);
  const choices = useMemo(
    () => [
      choice(
        "state",
        "State",
        choicesOf(all.values(), (each) => [stateOf(each).text]),
      ),
      choice(
        "from",
        "From",
        choicesOf(all.values(), ({ from }) => [from]),
      ),
      choice("label", "Label", choicesOf(all.values(), labelsOf)),
    ],
    [all],
  );
  return (
    <>
      <FilterBar search={search} choices={choices} shown={rows.length} all={all.size}>
        <Link className="button primary" to="/sandboxes" search={{ ...search, new: "1" }}>
          New sandbox
        </Link>
      </FilterBar>
      {search.new !== undefined && (
        <Suspense fallback={<Loading what="the form" />}>
          <CreateForm template={search.template} snapshot={search.snapshot} />
        </Suspense>
      )}
      <Table
        {...{ label: "Sandboxes", filter: search, rows, keyOf, link, columns: COLUMNS }}
        empty={
          !isThere ? null : all.size > 0 ? (
            <Empty>No sandbox passes these filters.</Empty>
          ) : (
            <Empty command={["create", "--name", "NAME"]}>
              No sandboxes. “New sandbox” creates one, and so does:
            </Empty>
          )
        }
      />
    </>
  );
}
