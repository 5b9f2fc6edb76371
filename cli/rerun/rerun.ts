import { defined } from "../../api/defined.ts";
import type { Rerun, RerunRun } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatCommand, formatEnd } from "../format/ending.ts";
import { formatTable } from "../format/table.ts";
import { printJson, styleOut, writeOut } from "../output.ts";
import { canRedraw, LiveLine } from "../progress/live-line.ts";
import { isQuiet, writeProgress } from "../progress/quiet.ts";
import { createReporter } from "../progress/reporter.ts";

/** Flags of `thaw rerun`. */
export interface RerunFlags {
  count: number;
  jobs: number;
  env?: Record<string, string>;
  json?: boolean;
}

const BAR_WIDTH = 20;

/** `████████░░  16/20  failed 5` */
function formatBar(done: number, count: number, failed: number): string {
  const full = Math.round((done / count) * BAR_WIDTH);
  return `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)}  ${done}/${count}  failed ${failed}`;
}

/** Without a terminal: `3/20  exited with 1 after 2.4 s`. */
function formatRun({ exit, error }: RerunRun, done: number, count: number): string {
  const ended = exit === null ? (error ?? "") : `${formatEnd(exit)} after ${formatElapsed(exit.durationMs)}`;
  return `${done}/${count}  ${cleanText(ended)}`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Those that ended alike, the most frequent first. */
function groupRuns(runs: readonly RerunRun[]): string[][] {
  const groups = Map.groupBy(runs, ({ exit, error, fingerprint }) =>
    JSON.stringify([exit === null ? error : formatEnd(exit), fingerprint]),
  );
  return [...groups.values()]
    .sort((a, b) => b.length - a.length)
    .map((alike) => {
      const [first] = alike;
      const times = alike.map(({ exit }) => exit?.durationMs ?? 0);
      return [
        String(alike.length),
        first?.exit == null ? (first?.error ?? "") : formatEnd(first.exit),
        formatElapsed(median(times)),
        `${formatElapsed(Math.min(...times))} – ${formatElapsed(Math.max(...times))}`,
        first?.fingerprint ?? "",
        alike.find(({ capture }) => capture !== null)?.capture ?? "",
      ];
    });
}

const startedFrom = {
  base: "the snapshot",
  workspace: "the snapshot and the workspace",
  checkpoint: "the checkpoint before the command",
} as const;

/** The answer, for people. */
export function formatRerun(rerun: Rerun): string {
  const { failed, runs, verdict, interval, argv, before } = rerun;
  const percent = (share: number): string => String(Math.round(share * 100));
  const [low, high] = interval;
  const share = `${percent(failed / runs.length)} % (95 %: ${percent(low)}–${percent(high)} %)`;
  const word = { flaky: `flaky: ${share}`, broken: `broken: ${share}`, passes: `passes: ${share} fail` }[
    verdict
  ];
  const header = ["RUNS", "ENDED", "MEDIAN", "FROM – TO", "FINGERPRINT", "CAPTURE"];
  return [
    `${failed} of ${runs.length} failed · ${styleOut(verdict === "passes" ? "green" : "red", word)}\n`,
    `${formatCommand(argv, 100)}, from ${startedFrom[before]}\n\n`,
    formatTable(header, groupRuns(runs)),
  ].join("");
}

/** `thaw rerun`. */
export async function rerun(capture: string, argv: readonly string[], flags: RerunFlags): Promise<void> {
  const { count, jobs, env } = flags;
  using interrupt = abortOnSignals();
  let done = 0;
  let failed = 0;
  const request = {
    count,
    jobs,
    ...defined({ env }),
    ...(argv.length === 0 ? {} : { argv: [...argv] }),
  };
  const result = await withClient(async (client) => {
    using reporter = createReporter(flags);
    using bar = new LiveLine(() =>
      done === 0 || flags.json === true || isQuiet() ? undefined : formatBar(done, count, failed),
    );
    return await client.captures.rerun(capture, request, {
      signal: interrupt.signal,
      onProgress: (progress) => reporter.show(progress),
      onRun: (run) => {
        reporter[Symbol.dispose]();
        done += 1;
        if (run.failed) failed += 1;
        if (canRedraw()) bar.start();
        else if (flags.json !== true) writeProgress(`thaw: ${formatRun(run, done, count)}\n`);
      },
    });
  });
  if (flags.json === true) printJson(result);
  else writeOut(formatRerun(result));
}
