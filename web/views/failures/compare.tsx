/** The failure beside another one, or beside a run of the same command that went well. */
import { useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { ComparedRow } from "../../../api/align-lines.ts";
import type { Capture } from "../../../api/capture.ts";
import { visibleText } from "../../../api/clean-text.ts";
import { compareCaptures, otherOf, tellsApart } from "../../../api/compare-captures.ts";
import { formatTrigger } from "../../../api/ending.ts";
import { CommandText } from "../../parts/command.tsx";
import { Empty } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";
import { commandOf } from "./rows.ts";

const MAX_CHOICES = 200;
const MARKS = { same: "", alike: "≈", changed: "≠", "only-a": "−", "only-b": "+" } as const;
const WORDS = {
  same: "same",
  alike: "differs as it does between runs",
  changed: "differs",
  "only-a": "only here",
  "only-b": "only in the other",
} as const;

function Row({ row, isFirst }: { row: ComparedRow; isFirst: boolean }) {
  const differs = tellsApart(row);
  const side = (text: string | null, tone: string) => (
    <td className={differs ? tone : "dim"}>{text === null ? "" : <Text className="mono" text={text} />}</td>
  );
  return (
    <tr className={isFirst ? "first-difference" : undefined}>
      <td className="warn" title={WORDS[row.mark]}>
        {MARKS[row.mark]}
      </td>
      <th scope="row">{row.name !== undefined && <Text text={row.name} />}</th>
      {side(row.a, "bad")}
      {side(row.b, "good")}
    </tr>
  );
}

export function Compare({ capture, other }: { capture: Capture; other: string | undefined }) {
  const navigate = useNavigate();
  const all = useHost(({ captures }) => captures);
  const chosen = useMemo(
    () => (other === undefined ? otherOf(capture, all.values()) : all.get(other)),
    [capture, other, all],
  );
  const choices = useMemo(
    () =>
      [...all.values()]
        .filter(({ id }) => id !== capture.id)
        .sort((a, b) => {
          const isSame = (each: Capture): number => Number(commandOf(each) === commandOf(capture));
          return isSame(b) - isSame(a) || b.createdAt.localeCompare(a.createdAt);
        })
        .slice(0, MAX_CHOICES),
    [capture, all],
  );
  const comparison = useMemo(
    () => (chosen === undefined ? undefined : compareCaptures(capture, chosen)),
    [capture, chosen],
  );
  if (choices.length === 0) return <Empty>This host has no other failure to compare with.</Empty>;
  const first = comparison?.firstDifference;
  return (
    <>
      <p className="row-of">
        <label>
          Compare with{" "}
          <select
            value={chosen?.id ?? ""}
            onChange={({ target }) =>
              void navigate({
                to: ".",
                search: ((before: object) => ({ ...before, with: target.value })) as never,
                replace: true,
              })
            }
          >
            {chosen === undefined && <option value="">another failure</option>}
            {choices.map((each) => (
              <option key={each.id} value={each.id}>
                {visibleText(
                  `${each.id}  ${each.exec?.exit?.code === 0 ? "went well" : formatTrigger(each)}  ${commandOf(each, 60)}`,
                )}
              </option>
            ))}
          </select>
        </label>
        {chosen !== undefined && <CommandText args={["capture", "diff", capture.id, chosen.id]} />}
      </p>
      {comparison === undefined ? (
        <p className="dim">This host has no other failure of this command; choose one.</p>
      ) : (
        <>
          <p className={first == null ? "good" : "warn"}>
            {first == null
              ? "No differences, except in parts that vary between runs."
              : `First difference: ${first.section}${first.name === undefined ? "" : `, ${first.name}`}`}
          </p>
          {comparison.sections.map(({ title, rows }) => (
            <section key={title}>
              <h2>{title}</h2>
              <table className="compare">
                <thead>
                  <tr>
                    <td />
                    <th>What</th>
                    <th>{comparison.a}</th>
                    <th>{comparison.b}</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row, index) => (
                    <Row
                      // biome-ignore lint/suspicious/noArrayIndexKey: rows of a comparison never move
                      key={index}
                      row={row}
                      isFirst={first?.section === title && first.row === index}
                    />
                  ))}
                </tbody>
              </table>
            </section>
          ))}
        </>
      )}
    </>
  );
}
