import {
  type ComparedRow,
  type ComparedSection,
  type Comparison,
  compareCaptures,
  comparisonOf,
  otherOf,
  tellsApart,
} from "../../api/compare-captures.ts";
import { type Capture, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatCapturedEnd, formatCommand, formatTrigger } from "../format/ending.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, styleErr, styleOut, writeErr, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";
import { type ComparedFiles, compareFiles } from "./compare-files.ts";

export interface DiffFlags {
  /** A path in both. */
  files?: string;
  json?: boolean;
}

/** `thaw capture diff`. @returns 1 when they differ. */
export async function diff(reference: string, other: string | undefined, flags: DiffFlags): Promise<number> {
  if (flags.files !== undefined && !flags.files.startsWith("/"))
    throw new ThawError("usage", `--files ${flags.files}: not an absolute path`, {
      hint: `--files /${flags.files}`,
    });
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  return await withClient(async (client) => {
    const a = await client.captures.get(reference, { signal });
    const b =
      other === undefined ? await findOther(client, a, signal) : await client.captures.get(other, { signal });
    const files = flags.files === undefined ? undefined : await lookAtFiles(client, [a, b], flags, signal);
    const cases = compareCaptures(a, b);
    const whole = comparisonOf(a.id, b.id, [...cases.sections, ...(files === undefined ? [] : [files])]);
    if (flags.json === true) printJson(whole);
    else writeOut(formatDiff(whole, [a, b]));
    if (files?.isCut === true)
      writeErr(
        `${styleErr("yellow", "thaw:")} ${flags.files} has too many files to compare all: give a folder in it\n`,
      );
    return whole.firstDifference === null ? 0 : 1;
  });
}

async function findOther(client: Thaw, capture: Capture, signal: AbortSignal): Promise<Capture> {
  const { captures } = await client.captures.list({}, { signal });
  const found = otherOf(capture, captures);
  if (found === undefined)
    throw new ThawError("not-found", `this host has no other capture of the command of ${capture.id}`, {
      hint: "give two captures: thaw capture diff A B; thaw run --capture always also captures successful runs",
    });
  return found;
}

async function lookAtFiles(
  client: Thaw,
  [a, b]: readonly [Capture, Capture],
  { files = "/", json = false }: DiffFlags,
  signal: AbortSignal,
): Promise<ComparedFiles> {
  using reporter = createReporter({ json });
  const at = performance.now();
  const tell = (detail: string): void =>
    reporter.show({ type: "progress", subject: "files", phase: detail, state: "started" });
  const compared = await compareFiles(client, { a: a.id, b: b.id }, files, { signal, tell });
  const elapsedMs = performance.now() - at;
  reporter.show({ type: "progress", subject: "files", phase: files, state: "done", elapsedMs });
  return compared;
}

/** A comparison for people: what only the first has with `-`, what only the second has with `+`, as in a patch. */
export function formatDiff({ sections, firstDifference }: Comparison, both: readonly Capture[]): string {
  const head = both.map((capture, index): [string, string] => [
    "-+"[index] ?? "",
    `${capture.id}  ${describeCapture(capture)}`,
  ]);
  const body = sections.map((section) => {
    const marked = firstDifference?.section === section.title ? firstDifference.row : undefined;
    return formatSection(section, marked);
  });
  const verdict =
    firstDifference === null
      ? "no difference but what varies from run to run\n"
      : `first difference: ${firstDifference.section}${firstDifference.name === undefined ? "" : `, ${cleanText(firstDifference.name)}`}\n`;
  return [formatPairs(head), ...body, verdict].join("\n");
}

function describeCapture(capture: Capture): string {
  const { exec, createdAt } = capture;
  const age = formatAge(createdAt);
  if (exec === null) return `${age}, ${formatTrigger(capture)}`;
  return `${age}: ${formatCommand(exec.argv)} ${formatCapturedEnd(capture)}`;
}

/** How many equal lines are shown before and after a difference. */
const CONTEXT_LINES = 2;

function formatSection({ title, rows, isText = false }: ComparedSection, first: number | undefined): string {
  const isNear = (index: number): boolean =>
    isText && rows.slice(Math.max(0, index - CONTEXT_LINES), index + CONTEXT_LINES + 1).some(tellsApart);
  const lines = rows.flatMap((row, index) => {
    if (tellsApart(row)) return formatRow(row, index === first);
    return isNear(index) ? [`    ${cleanText(row.a ?? "")}\n`] : [];
  });
  const differing = rows.filter(tellsApart).length;
  return `${styleOut("bold", title)}  ${rows.length - differing} alike, ${differing} not\n${lines.join("")}`;
}

function formatRow({ name, a, b }: ComparedRow, isFirst: boolean): string[] {
  const label = name === undefined ? "" : `${cleanText(name)}: `;
  const sides = [
    ["-", a, "red"],
    ["+", b, "green"],
  ] as const;
  const shown = sides.filter(([, text]) => text !== null);
  return shown.map(
    ([sign, text, tone], index) =>
      `${isFirst && index === 0 ? "»" : " "} ${styleOut(tone, `${sign} ${label}${cleanText(text ?? "")}`)}\n`,
  );
}
