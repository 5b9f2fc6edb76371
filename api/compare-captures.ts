/** What two captures have in common and where they differ, by their case files. No request is made for it. */
import { alignLines, type ComparedRow } from "./align-lines.ts";
import type { Capture } from "./capture.ts";
import { stripSequences } from "./clean-text.ts";
import { formatElapsed } from "./duration.ts";
import { formatCommand, formatEnd } from "./ending.ts";
import { MAX_LAST_LINES, withoutVarying } from "./last-lines.ts";
import { formatSize } from "./size.ts";

export type { ComparedRow, Mark } from "./align-lines.ts";

export interface ComparedSection {
  title: string;
  /** The rows are lines of a text: those around a difference tell where it is. */
  isText?: boolean;
  rows: ComparedRow[];
}
export interface FirstDifference extends ComparedRow {
  section: string;
  /** Its index in that section. */
  row: number;
}
export interface Comparison {
  a: string;
  b: string;
  /** Where they first differ by more than what varies; null: nowhere. */
  firstDifference: FirstDifference | null;
  sections: ComparedSection[];
}

/** Whether a row tells the two apart. */
export function tellsApart({ mark }: Pick<ComparedRow, "mark">): boolean {
  return mark !== "same" && mark !== "alike";
}

/** Compares two captures: first what was given, then what became of it. */
export function compareCaptures(a: Capture, b: Capture): Comparison {
  return comparisonOf(a.id, b.id, [
    { title: "Run", rows: compareFacts(a, b, GIVEN) },
    { title: "Environment", rows: compareCounted(a, b, ({ exec }) => exec?.envNames ?? []) },
    { title: "Last lines", isText: true, rows: compareLines(linesOf(a), linesOf(b)) },
    { title: "End", rows: [...compareFacts(a, b, ended), ...compareMeasures(a, b)] },
    { title: "Processes", rows: compareCounted(a, b, processNames) },
    { title: "Ports", rows: compareCounted(a, b, portNames) },
    { title: "Network", rows: compareCounted(a, b, destinationNames) },
  ]);
}

/** A comparison of these sections; those without rows are left out. */
export function comparisonOf(a: string, b: string, all: readonly ComparedSection[]): Comparison {
  const sections = all.filter(({ rows }) => rows.length > 0);
  const [firstDifference = null] = sections.flatMap(({ title, rows }) => {
    const row = rows.findIndex(tellsApart);
    const found = rows[row];
    return found === undefined ? [] : [{ section: title, row, ...found }];
  });
  return { a, b, firstDifference, sections };
}

/**
 * What a capture is compared with when nothing else is said: the newest other one of the same command, one that went well if there is one
 * (`--capture always` keeps those).
 */
export function otherOf(capture: Capture, all: Iterable<Capture>): Capture | undefined {
  const command = JSON.stringify(capture.exec?.argv);
  const alike = [...all]
    .filter(({ id, exec }) => id !== capture.id && exec !== null && JSON.stringify(exec.argv) === command)
    .sort((one, two) => two.createdAt.localeCompare(one.createdAt));
  return alike.find(({ exec }) => exec?.exit?.code === 0) ?? alike[0];
}

type Fact = readonly [name: string, of: (capture: Capture) => string | undefined];

const GIVEN: readonly Fact[] = [
  ["command", ({ exec }) => (exec === null ? undefined : formatCommand(exec.argv, 1000))],
  ["in", ({ exec }) => exec?.cwd ?? undefined],
  ["as", ({ exec }) => exec?.user ?? undefined],
  ["commit", ({ ci }) => ci?.sha],
  ["base", ({ base }) => `${base.from} (${base.snapshot})`],
  ["workspace", ({ workspace }) => workspace?.digest.slice(0, 16)],
  ["state before", ({ before }) => before],
  ["machine", ({ resources }) => `${resources.cpus} cpu, ${resources.memoryMib} MiB`],
  ["isolation", ({ isolation }) => isolation],
  ["kernel", ({ needs }) => needs.kernel],
];
const ended: readonly Fact[] = [
  ["ended", ({ exec, trigger }) => (exec?.exit == null ? trigger : formatEnd(exec.exit))],
];
const measures: readonly (readonly [
  name: string,
  of: (capture: Capture) => number | undefined,
  format: (value: number) => string,
])[] = [
  ["took", ({ exec }) => exec?.durationMs, formatElapsed],
  ["memory changed", ({ changedBytes }) => changedBytes.memory, formatSize],
  ["disk changed", ({ changedBytes }) => changedBytes.disk, formatSize],
];

function compareFacts(a: Capture, b: Capture, facts: readonly Fact[]): ComparedRow[] {
  return facts
    .map(([name, of]) => ({ name, ...sidesOf(of(a), of(b)) }))
    .filter((row) => row.a !== null || row.b !== null);
}

function compareMeasures(a: Capture, b: Capture): ComparedRow[] {
  return measures.flatMap(([name, of, format]): ComparedRow[] => {
    const [one, two] = [of(a), of(b)];
    if (one === undefined || two === undefined) return [];
    const isAlike = Math.max(one, two) < 2 * Math.min(one, two);
    const mark = one === two ? "same" : isAlike ? "alike" : "changed";
    return [{ name, mark, a: format(one), b: format(two) }];
  });
}

function sidesOf(a: string | undefined, b: string | undefined): Omit<ComparedRow, "name"> {
  const mark = a === b ? "same" : a === undefined ? "only-b" : b === undefined ? "only-a" : "changed";
  return { mark, a: a ?? null, b: b ?? null };
}

/** Both outputs may begin anywhere when only their ends were kept: what comes before the first common line tells nothing then. */
function compareLines(a: readonly string[], b: readonly string[]): ComparedRow[] {
  const rows = alignLines(a, b);
  if (Math.max(a.length, b.length) < MAX_LAST_LINES) return rows;
  const common = rows.findIndex((row) => !tellsApart(row));
  return rows.slice(Math.max(0, common));
}

function linesOf({ exec, console }: Capture): string[] {
  return (exec?.lastLines ?? console).map(stripSequences);
}

function processNames({ processes }: Capture): string[] {
  return processes
    .filter(({ state }) => state !== "X")
    .map(({ name, command }) => (command === "" ? `[${withoutVarying(name)}]` : command));
}

function portNames({ listening }: Capture): string[] {
  return listening.map(({ protocol, address, port }) => `${protocol} ${address}:${port}`);
}

function destinationNames({ egress }: Capture): string[] {
  return egress.map(({ destination, allowed }) => `${destination} ${allowed ? "allowed" : "denied"}`);
}

/** Compares names that each side has any number of times, in no order that matters. */
function compareCounted(a: Capture, b: Capture, namesOf: (capture: Capture) => string[]): ComparedRow[] {
  const [left, right] = [a, b].map((capture) => Map.groupBy(namesOf(capture), (name) => name));
  const names = new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])]);
  return [...names].map((name) => {
    const [one, two] = [left, right].map((side) => {
      const count = side?.get(name)?.length ?? 0;
      return count === 0 ? undefined : count === 1 ? name : `${name} ×${count}`;
    });
    return sidesOf(one, two);
  });
}
