/** A step's result in words: the job summary's Markdown and the one line of an annotation. */

import { verdictOf } from "./capture.ts";
import { formatBytes, formatMs } from "./format.ts";
import { codeBlock, escapeMarkdown, inlineCode } from "./markdown.ts";
import type { StepPlan } from "./plan.ts";
import type { StepResult } from "./step.ts";

/** GitHub drops a summary of more than 1 MiB whole; all steps of a job have one each. */
export const MAX_SUMMARY_BYTES = 1_000_000;
export const LAST_LINES = 40;
const MAX_LINE_CHARS = 2_000;
const MAX_DENIED = 20;
const MAX_NOTES = 50;

/** `exit 1 after 41 s`. */
export function describeEnd({ outcome, exitCode, exec, error }: StepResult): string {
  const after = exec?.exit ? ` after ${formatMs(exec.exit.durationMs)}` : "";
  if (outcome === "cancelled") return "cancelled";
  if (outcome === "timeout") return `out of time${after}`;
  if (outcome === "error") return error === undefined ? "thaw failed" : `thaw failed: ${error}`;
  if (exec?.exit?.oom) return `out of memory${after}`;
  if (exec?.exit?.signal) return `ended by SIG${exec.exit.signal.replace(/^SIG/, "")}${after}`;
  return `exit ${exitCode}${after}`;
}

function networkOf(result: StepResult, plan: StepPlan): string {
  const layer = plan.settings.network?.at(-1);
  const rules = (layer?.allow ?? []).map((rule) => rule.replace(/^@/, ""));
  const mode = layer?.mode ?? (rules.length > 0 ? undefined : (result.sandbox?.network.mode ?? "none"));
  const allowed = [...(mode === undefined ? [] : [mode]), ...rules].slice(0, 10).join(", ");
  const denied = result.denied.reduce((sum, { count }) => sum + count, 0);
  return `network: ${escapeMarkdown(allowed)}${denied === 0 ? "" : ` (${denied} denied)`}`;
}

function originOf(result: StepResult, plan: StepPlan): string {
  if (result.sandbox === undefined) return "no sandbox was created";
  const from = `microVM from ${inlineCode(result.sandbox.from)} on ${inlineCode(result.host)}`;
  const continued = plan.sandbox === undefined ? "" : `, continued in ${inlineCode(result.sandbox.name)}`;
  return `${from}${continued} · isolated by ${escapeMarkdown(result.sandbox.isolation)} · ${networkOf(result, plan)}`;
}

/** The row of times: what there was, and how long it took. */
function timeline({ sandbox, sent, fetched, exec, capture, pulled }: StepResult, totalMs: number): string[] {
  const cells: [string, string][] = [];
  if (pulled !== undefined)
    cells.push([
      "pull",
      pulled.bytes === 0 ? "cached" : `${formatMs(pulled.ms)}, ${formatBytes(pulled.bytes)}`,
    ]);
  if (sandbox?.thawMs != null) cells.push(["thaw", formatMs(sandbox.thawMs)]);
  if (sent !== undefined) cells.push(["workspace", `${formatMs(sent.ms)}, ${formatBytes(sent.bytes)}`]);
  if (fetched !== undefined) cells.push(["fetch", `${formatMs(fetched.ms)}, ${formatBytes(fetched.bytes)}`]);
  if (exec?.exit) cells.push(["run", formatMs(exec.exit.durationMs)]);
  if (capture !== undefined && capture.changedBytes > 0)
    cells.push(["capture", `${formatMs(capture.pauseMs)}, ${formatBytes(capture.changedBytes)}`]);
  cells.push(["total", formatMs(totalMs)]);
  const row = (words: readonly string[]): string => `| ${words.join(" | ")} |`;
  return [
    row(cells.map(([name]) => name)),
    row(cells.map(() => "---")),
    row(cells.map(([, value]) => value)),
  ];
}

function codeLines({ fetched }: StepResult): string[] {
  if (fetched === undefined) return [];
  const { repository, reference, commit } = fetched;
  const name = reference === undefined ? "" : ` (${inlineCode(reference)})`;
  return [`code: ${inlineCode(repository)} at ${inlineCode(commit)}${name}, fetched in the sandbox`];
}

function captureLines({ capture, rerun, host }: StepResult): string[] {
  const lines: string[] = [];
  if (capture !== undefined) {
    const { kind } = capture.place;
    const where = kind === "host" ? ` on ${inlineCode(host)}` : "";
    const open = kind === "store" ? " · in a checkout of the branch: `thaw open`" : "";
    lines.push(`**Open the failure:** ${inlineCode(capture.replayCommand)}${where}${open}  `);
    if (capture.notKept !== undefined)
      lines.push(`**Not copied to the store:** ${escapeMarkdown(capture.notKept)}  `);
  }
  if (rerun !== undefined) {
    const percent = (share: number): string => String(Math.round(share * 100));
    const [low, high] = rerun.interval;
    const share = `${percent(rerun.failed / rerun.runs.length)} %, 95 %: ${percent(low)}–${percent(high)} %`;
    const verdict = verdictOf(rerun) === "flaky" ? "Flaky" : "Broken";
    lines.push(
      `**${verdict}:** ${rerun.failed} of ${rerun.runs.length} reruns from the same state failed (${share})  `,
    );
  }
  return lines;
}

function deniedLines({ denied }: StepResult): string[] {
  const lines = denied.slice(0, MAX_DENIED).map(({ destination, port, count, rule, reason }) => {
    const cure =
      rule === null ? escapeMarkdown(reason) : `add ${inlineCode(rule)} to ${inlineCode("network:")}`;
    return `<details><summary>Denied: ${escapeMarkdown(`${destination}:${port}`)} (${count}×)</summary>\n\n${cure}\n\n</details>`;
  });
  if (denied.length > MAX_DENIED) lines.push(`… and ${denied.length - MAX_DENIED} more`);
  return lines;
}

function lastLines(lines: readonly string[]): string[] {
  const shown = lines.map((line) =>
    line.length <= MAX_LINE_CHARS ? line : `${line.slice(0, MAX_LINE_CHARS)}…`,
  );
  if (shown.every((line) => line.trim() === "")) return [];
  return [`<details><summary>Last ${shown.length} lines</summary>`, "", codeBlock(shown), "", "</details>"];
}

/** The job summary of a step. Text of the guest, of files and of inputs is shown and never obeyed. */
export function summarise(
  result: StepResult,
  { plan, output, totalMs }: { plan: StepPlan; output: readonly string[]; totalMs: number },
): string {
  const mark = result.outcome === "success" ? "✓" : "✗";
  const notes = result.notes
    .slice(0, MAX_NOTES)
    .map((note) => `- ${escapeMarkdown(note.slice(0, MAX_LINE_CHARS))}`);
  if (result.notes.length > MAX_NOTES) notes.push(`- … and ${result.notes.length - MAX_NOTES} more`);
  const head = [
    [`### ${mark} ${escapeMarkdown(clip(plan.title))} · ${escapeMarkdown(clip(describeEnd(result)))}`],
    [originOf(result, plan)],
    codeLines(result),
    timeline(result, totalMs),
    captureLines(result),
  ];
  return fit(head, [
    { name: "notes", lines: notes },
    { name: "denied connections", lines: deniedLines(result) },
    { name: "last lines of output", lines: result.outcome === "success" ? [] : lastLines(output) },
  ]);
}

function clip(text: string): string {
  return text.length <= MAX_LINE_CHARS ? text : `${text.slice(0, MAX_LINE_CHARS)}…`;
}

const join = (blocks: readonly (readonly string[])[]): string =>
  `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join("\n"))
    .join("\n\n")}\n`;

/** Never more than GitHub takes: the largest of `parts` are left out whole, and named. */
function fit(
  head: readonly (readonly string[])[],
  parts: readonly { name: string; lines: readonly string[] }[],
): string {
  let left = [...parts];
  const cut: string[] = [];
  for (;;) {
    const note =
      cut.length === 0 ? [] : [`Left out, because GitHub limits the size of a summary: ${cut.join(", ")}.`];
    const text = join([...head, ...left.map(({ lines }) => lines), note]);
    if (Buffer.byteLength(text) <= MAX_SUMMARY_BYTES || left.length === 0) return text;
    const sizes = left.map(({ lines }) => Buffer.byteLength(lines.join("\n")));
    const largest = sizes.indexOf(Math.max(...sizes));
    cut.push(`${left[largest]?.name} (${formatBytes(sizes[largest] ?? 0)})`);
    left = left.filter((_, index) => index !== largest);
  }
}

/** A failure in one annotation: what, how and how to stand in it. */
export function annotate(result: StepResult, title: string): string {
  const lines = [`${title}: ${describeEnd(result)}`];
  if (result.capture !== undefined) lines.push(`open the failure: ${result.capture.replayCommand}`);
  return lines.join("\n");
}
