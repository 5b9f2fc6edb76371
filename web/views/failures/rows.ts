/** Which failures the list shows, and what it says of them. */
import type { Capture } from "../../../api/capture.ts";
import { branchOf, describePlace } from "../../../api/describe-failure.ts";
import { parseDuration } from "../../../api/duration.ts";
import { formatCommand, formatTrigger } from "../../../api/ending.ts";
import { matches, type Search } from "../../state/search.ts";

export type Verdict = "flaky" | "broken" | "passes";

export function commandOf({ exec }: Pick<Capture, "exec">, longest = 300): string {
  return exec === null ? "–" : formatCommand(exec.argv, longest);
}

/** Milliseconds of an age in the address; undefined for one that is none. */
function ageOf(text: string | undefined): number | undefined {
  try {
    return text === undefined ? undefined : parseDuration(text);
  } catch {
    return undefined;
  }
}

/** The failures that all filters let through, newest first. */
export function filterFailures(
  all: Iterable<Capture>,
  search: Search,
  { nowMs, verdictOf }: { nowMs: number; verdictOf: (id: string) => Verdict | undefined },
): Capture[] {
  const ageMs = ageOf(search.age);
  const isWanted = (capture: Capture): boolean => {
    const { ci, fingerprint, createdAt, id, exec } = capture;
    const is = (wanted: string | undefined, value: string | undefined): boolean =>
      wanted === undefined || wanted === value;
    return (
      is(search.repository, ci?.repository) &&
      is(search.ref, branchOf(capture)) &&
      is(search.pr, ci?.pr) &&
      is(search.trigger, capture.trigger) &&
      (search.fingerprint === undefined || fingerprint.startsWith(search.fingerprint)) &&
      is(search.verdict, verdictOf(id)) &&
      (ageMs === undefined || nowMs - Date.parse(createdAt) <= ageMs) &&
      matches(
        `${id} ${describePlace(capture)} ${exec?.argv.join(" ").slice(0, 400) ?? ""} ${formatTrigger(capture)}`,
        search.q ?? "",
      )
    );
  };
  return [...all].filter(isWanted).sort((a, b) => b.createdAt.localeCompare(a.createdAt));
}

/** Values that the failures have, for a filter's choices: sorted, a few hundred at most. */
export function valuesOf(all: Iterable<Capture>, of: (capture: Capture) => string | undefined): string[] {
  const values = new Set<string>();
  for (const capture of all) {
    const value = of(capture);
    if (value !== undefined && value !== "") values.add(value);
    if (values.size >= 300) break;
  }
  return [...values].sort();
}
