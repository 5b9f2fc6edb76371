import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import type { DaemonInfo } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { Age } from "../../parts/age.tsx";
import { CommandText } from "../../parts/command.tsx";
import { FilterBar } from "../../parts/filter-bar.tsx";
import { Loading } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useUsage } from "../../state/follow.ts";
import { useHost } from "../../state/page-host.ts";
import { matches } from "../../state/search.ts";
import "../../parts/views.css";

function Ready() {
  const status = useHost((host) => host.status);
  const doctor = useHost((host) => host.doctor);
  if (status !== "here") return <span className={status === "offline" ? "bad" : "dim"}>{status}</span>;
  if (doctor === undefined) return <span className="dim">…</span>;
  return doctor.ready ? <span className="good">ready</span> : <span className="bad">not ready</span>;
}

function Memory() {
  const machine = useHost((host) => host.machine);
  if (machine === undefined) return <span className="dim">–</span>;
  const used = machine.memoryMib - machine.availableMib;
  return `${formatSize(used * 2 ** 20)} of ${formatSize(machine.memoryMib * 2 ** 20)}`;
}

const COLUMNS: readonly Column<DaemonInfo>[] = [
  { title: "Name", width: 8, grows: 2, rank: 0, cell: ({ host }) => <Text text={host} /> },
  { title: "State", width: 5, rank: 0, cell: () => <Ready /> },
  { title: "Version", width: 5, grows: 1, rank: 3, cell: ({ version }) => version },
  { title: "Memory in use", width: 11, grows: 1, rank: 2, cell: () => <Memory /> },
  {
    ...{ title: "Sandboxes", width: 5.5, rank: 1, align: "right" },
    cell: () => <Count of="sandboxes" />,
  },
  { title: "Failures", width: 5, rank: 4, align: "right", cell: () => <Count of="captures" /> },
  { title: "Snapshots", width: 5.5, rank: 5, align: "right", cell: () => <Count of="snapshots" /> },
  { title: "Up", width: 3, rank: 2, align: "right", cell: ({ startedAt }) => <Age time={startedAt} /> },
];

function Count({ of }: { of: "sandboxes" | "captures" | "snapshots" }) {
  return useHost((host) => host[of].size);
}

const keyOf = ({ host }: DaemonInfo): string => host;
const link = ({ host }: DaemonInfo) => ({ to: "/hosts/$name", params: { name: host } }) as const;

/** The daemon that the page came from. */
export function List() {
  const search = getRouteApi("/hosts").useSearch();
  const info = useHost((host) => host.info);
  useUsage();
  const rows = useMemo(
    () => (info !== undefined && matches(info.host, search.q ?? "") ? [info] : []),
    [info, search.q],
  );
  return (
    <>
      <FilterBar search={search} shown={rows.length} all={info === undefined ? 0 : 1}>
        <span className="row-of dim">
          Another host has its own page: <CommandText args={["--context", "NAME", "ui"]} />
        </span>
      </FilterBar>
      <Table
        {...{ label: "Hosts", filter: search, rows, keyOf, link, columns: COLUMNS }}
        empty={info === undefined ? <Loading what="the host" /> : null}
      />
    </>
  );
}
