import { describePlace, describeReplay } from "../../../../api/describe-failure.ts";
import { formatCommand, formatTrigger } from "../../../format/ending.ts";
import { formatSize } from "../../../format/size.ts";
import type { Column } from "../../draw/columns.ts";
import { hostColumn, rowKey, shortAge } from "../common.ts";
import type { View } from "../view.ts";
import { FAILURE_PANES } from "./panes.ts";
import type { FailureRow } from "./row.ts";
import { FAILURE_VERBS } from "./verbs.ts";

const columns: readonly Column<FailureRow>[] = [
  {
    title: "ID",
    width: 14,
    rank: 0,
    cell: ({ capture }) => ({ text: `${capture.notes.pinned ? "◆" : ""}${capture.id}`, tone: "strong" }),
  },
  {
    title: "AGE",
    width: 4,
    align: "right",
    rank: 0,
    cell: ({ capture }, nowMs) => shortAge(capture.createdAt, nowMs),
    order: ({ capture }) => Date.parse(capture.createdAt),
  },
  {
    title: "TRIGGER",
    width: 8,
    rank: 0,
    cell: ({ capture }) => ({
      text: formatTrigger(capture),
      tone: capture.trigger === "manual" ? "dim" : "bad",
    }),
  },
  {
    title: "COMMAND",
    width: 16,
    grows: 3,
    rank: 0,
    cell: ({ capture }) => (capture.exec === null ? "–" : formatCommand(capture.exec.argv, 300)),
  },
  { title: "FROM CI", width: 18, grows: 1, rank: 5, cell: ({ capture }) => describePlace(capture) },
  { title: "COMMIT", width: 7, rank: 6, cell: ({ capture }) => capture.ci?.sha?.slice(0, 7) ?? "–" },
  {
    title: "SIZE",
    width: 8,
    align: "right",
    rank: 2,
    cell: ({ capture }) => formatSize(capture.storedBytes),
    order: ({ capture }) => capture.storedBytes,
  },
  { title: "REPLAYS", width: 13, rank: 1, cell: ({ capture }) => describeReplay(capture) },
  hostColumn,
];

export const failures: View<FailureRow> = {
  id: "failures",
  title: "Failures",
  columns,
  parts: ["captures"],
  groupings: [
    { name: "by repository", of: ({ capture }) => describePlace(capture) },
    {
      name: "by fingerprint",
      of: ({ capture }) =>
        `${capture.fingerprint.slice(0, 12)}  ${capture.exec === null ? "" : formatCommand(capture.exec.argv, 60)}`,
    },
    { name: "not grouped" },
  ],
  rows: (hosts) =>
    hosts
      .flatMap(({ context, captures }) =>
        [...captures.values()].map(
          (capture): FailureRow => ({
            key: rowKey(context, capture.id),
            context,
            name: capture.id,
            text: `${capture.id} ${describePlace(capture)} ${capture.exec?.argv.join(" ").slice(0, 400) ?? ""} ${capture.trigger} ${context}`,
            capture,
          }),
        ),
      )
      .sort((a, b) => b.capture.createdAt.localeCompare(a.capture.createdAt)),
  panes: FAILURE_PANES,
  verbs: FAILURE_VERBS,
  empty: "no failures; to capture one: thaw run --capture on-failure -- COMMAND",
};
