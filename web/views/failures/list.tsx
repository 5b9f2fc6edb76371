/** Failures: what is alike stands together. */

import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Capture } from "../../../api/capture.ts";
import { branchOf, describePlace, describeReplay } from "../../../api/describe-failure.ts";
import { formatTrigger } from "../../../api/ending.ts";
import { formatSize } from "../../../api/size.ts";
import { Age } from "../../parts/age.tsx";
import { type Choice, FilterBar } from "../../parts/filter-bar.tsx";
import { Empty } from "../../parts/states.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { oneOf } from "../../state/search.ts";
import { useValue } from "../../state/value.ts";
import { reruns } from "./rerun.ts";
import { commandOf, filterFailures, valuesOf } from "./rows.ts";

const GROUPS = ["fingerprint", "repository", "none"] as const;
const TRIGGERS = ["exit", "signal", "timeout", "oom", "panic", "cancel", "manual"];
const AGES = ["1h", "1d", "7d", "30d"];
const VERDICTS = ["flaky", "broken", "passes"];

function VerdictCell({ id }: { id: string }) {
  const verdict = useValue(reruns).get(id)?.result?.verdict;
  return verdict === undefined ? <span className="dim">–</span> : <span className={verdict}>{verdict}</span>;
}

const FLAKY: Column<Capture> = {
  ...{ title: "Flaky?", width: 4, rank: 5 },
  cell: ({ id }) => <VerdictCell id={id} />,
};
const COLUMNS: readonly Column<Capture>[] = [
  {
    ...{ title: "Id", width: 7.5, rank: 0 },
    cell: ({ id, notes }) => (
      <>
        {notes.pinned && <span title="pinned">◆</span>}
        {id}
      </>
    ),
  },
  {
    ...{ title: "Ended", width: 4.5, rank: 0 },
    cell: (capture) => (
      <span
        className={capture.exec?.exit?.code === 0 ? "good" : capture.trigger === "manual" ? "dim" : "bad"}
      >
        <Text text={formatTrigger(capture)} />
      </span>
    ),
  },
  {
    ...{ title: "Command", width: 7, grows: 3, rank: 1 },
    cell: (capture) => <Text className="mono" text={commandOf(capture)} />,
  },
  {
    ...{ title: "From CI", width: 9, grows: 2, rank: 4 },
    cell: (capture) => <Text text={describePlace(capture)} />,
  },
  { title: "Commit", width: 4.5, rank: 7, cell: ({ ci }) => <code>{ci?.sha?.slice(0, 7) ?? "–"}</code> },
  FLAKY,
  {
    ...{ title: "Replays here", width: 7, rank: 3 },
    cell: (capture) => {
      const { text, tone } = describeReplay(capture);
      return <span className={tone}>{text}</span>;
    },
  },
  {
    ...{ title: "Size", width: 4.5, rank: 6, align: "right" },
    cell: ({ storedBytes }) => formatSize(storedBytes),
  },
  {
    ...{ title: "Age", width: 2.5, rank: 2, align: "right" },
    cell: ({ createdAt }) => <Age time={createdAt} />,
  },
];
/** Until something was rerun, no verdict is known. */
const UNJUDGED_COLUMNS = COLUMNS.filter((column) => column !== FLAKY);
const keyOf = ({ id }: Capture): string => id;
const link = ({ id }: Capture) => ({ to: "/failures/$id", params: { id } }) as const;
const groupings = {
  fingerprint: ({ fingerprint }: Capture): string => fingerprint,
  repository: describePlace,
  none: undefined,
};

function choice(name: string, label: string, values: readonly string[], all = "all"): Choice {
  return { name, label, options: [["", all], ...values.map((value) => [value, value] as const)] };
}

export function List() {
  const search = getRouteApi("/failures").useSearch();
  const all = useHost(({ captures }) => captures);
  const isThere = useHost(({ info }) => info !== undefined);
  const judged = useValue(reruns);
  const rows = useMemo(
    () =>
      filterFailures(all.values(), search, {
        nowMs: Date.now(),
        verdictOf: (id) => judged.get(id)?.result?.verdict,
      }),
    [all, search, judged],
  );
  const choices = useMemo(
    (): Choice[] => [
      choice(
        "repository",
        "Repository",
        valuesOf(all.values(), ({ ci }) => ci?.repository),
      ),
      choice("ref", "Branch", valuesOf(all.values(), branchOf)),
      choice(
        "pr",
        "Pull request",
        valuesOf(all.values(), ({ ci }) => ci?.pr),
      ),
      choice("trigger", "Ended", TRIGGERS),
      ...(judged.size === 0 ? [] : [choice("verdict", "Flaky?", VERDICTS)]),
      choice("age", "Within", AGES, "any time"),
      { name: "group", label: "Group", options: GROUPS.map((name) => [name, name] as const) },
    ],
    [all, judged.size],
  );
  const group = oneOf(search.group, GROUPS);
  const heading = (name: string, members: readonly Capture[]) => {
    const [newest] = members;
    if (group !== "fingerprint" || newest === undefined) return <Text text={`${name} (${members.length})`} />;
    return (
      <Link to="/failures" search={{ ...search, fingerprint: name }}>
        {members.length === 1 ? "1 failure" : `${members.length} alike`} · <code>{name.slice(0, 12)}</code>
      </Link>
    );
  };
  return (
    <>
      <FilterBar search={search} choices={choices} shown={rows.length} all={all.size}>
        {search.fingerprint !== undefined && (
          <Link to="/failures" search={{ ...search, fingerprint: undefined } as never}>
            fingerprint <code>{search.fingerprint.slice(0, 12)}</code> ✕
          </Link>
        )}
      </FilterBar>
      <Table
        {...{ label: "Failures", filter: search, rows, keyOf, link, heading }}
        columns={judged.size === 0 ? UNJUDGED_COLUMNS : COLUMNS}
        groupOf={groupings[group]}
        empty={
          !isThere ? null : all.size > 0 ? (
            <Empty>No failure passes these filters.</Empty>
          ) : (
            <Empty command={["run", "--capture", "on-failure", "--", "COMMAND"]}>
              No failures. This captures one:
            </Empty>
          )
        }
      />
    </>
  );
}
