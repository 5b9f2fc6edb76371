/** The failure beside another one: the marked one, else the newest of the same command. */

import {
  type ComparedRow,
  type Comparison,
  compareCaptures,
  otherOf,
  tellsApart,
} from "../../../../api/compare-captures.ts";
import type { Capture } from "../../../../client/index.ts";
import { fitTo, type Line } from "../../draw/text.ts";
import type { State } from "../../state/state.ts";
import { heading, plain } from "../common.ts";
import type { Pane } from "../view.ts";
import type { FailureRow } from "./row.ts";

export const compare: Pane<FailureRow> = {
  title: "Compare",
  lines: ({ capture, context, key }, state, width) => {
    const other = markedOther(state, key) ?? newestAlike(state, context, capture);
    if (other === undefined)
      return [
        plain(
          "this host has no other failure of this command; mark any failure with space to compare it",
          "dim",
        ),
      ];
    return drawComparison(comparisonOf(capture, other), width - 1);
  },
};

/** Drawn at every frame; made anew only for other captures. */
let last: { a: Capture; b: Capture; comparison: Comparison } | undefined;

function comparisonOf(a: Capture, b: Capture): Comparison {
  if (last?.a !== a || last.b !== b) last = { a, b, comparison: compareCaptures(a, b) };
  return last.comparison;
}

function markedOther({ hosts, lists }: State, key: string): Capture | undefined {
  const [marked] = [...lists.failures.marked].filter((one) => one !== key);
  if (marked === undefined) return undefined;
  const at = marked.indexOf("/");
  return hosts.find(({ context }) => context === marked.slice(0, at))?.captures.get(marked.slice(at + 1));
}

function newestAlike({ hosts }: State, context: string, capture: Capture): Capture | undefined {
  return otherOf(capture, hosts.find((host) => host.context === context)?.captures.values() ?? []);
}

/** Both sides, as wide as there is room; `»` is at the first difference. */
export function drawComparison(
  { a, b, sections, firstDifference: first }: Comparison,
  width: number,
): Line[] {
  const half = Math.floor((width - 5) / 2);
  const said =
    first === null
      ? plain("no differences, except in parts that vary between runs", "good")
      : plain(
          `first difference: ${first.section}${first.name === undefined ? "" : `, ${first.name}`}`,
          "warn",
        );
  return [
    said,
    [
      { text: "  " },
      { text: fitTo(a, half), tone: "strong" },
      { text: " │ ", tone: "dim" },
      { text: fitTo(b, half), tone: "strong" },
    ],
    ...sections.flatMap(({ title, rows }) => [
      heading(title),
      ...rows.map((row, index) =>
        drawRow(row, { half, isFirst: first?.section === title && first.row === index }),
      ),
    ]),
  ];
}

function drawRow(
  { mark, name, a, b }: ComparedRow,
  { half, isFirst }: { half: number; isFirst: boolean },
): Line {
  const label = name === undefined ? "" : `${name}: `;
  const differs = tellsApart({ mark });
  const side = (text: string | null, tone: "bad" | "good") => ({
    text: fitTo(text === null ? "" : label + text, half),
    tone: differs ? tone : ("dim" as const),
  });
  return [
    { text: isFirst ? "» " : "  ", tone: "warn" },
    side(a, "bad"),
    { text: differs ? " ≠ " : mark === "alike" ? " ≈ " : " │ ", tone: differs ? "warn" : "dim" },
    side(b, "good"),
  ];
}
