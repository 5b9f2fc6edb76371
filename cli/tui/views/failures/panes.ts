import { describePlace, describeReplay } from "../../../../api/describe-failure.ts";
import type { Capture } from "../../../../client/index.ts";
import { stripSequences } from "../../../format/clean-text.ts";
import { formatCapturedEnd, formatCommand } from "../../../format/ending.ts";
import { formatSize } from "../../../format/size.ts";
import { bar } from "../../draw/graph.ts";
import type { Line } from "../../draw/text.ts";
import type { State } from "../../state/state.ts";
import { heading, pairs, plain, shortAge } from "../common.ts";
import { processLines } from "../process-lines.ts";
import type { Pane } from "../view.ts";
import { compare } from "./compare.ts";
import { lineageLines } from "./lineage.ts";
import type { FailureRow } from "./row.ts";

const BAR = 20;

/** The live bar of a rerun, then its verdict. */
export function rerunLines({ reruns }: Pick<State, "reruns">, key: string): Line[] {
  const rerun = reruns.get(key);
  if (rerun === undefined) return [];
  const { done, count, failed, result, trouble } = rerun;
  const lines: Line[] = [
    [
      { text: "Rerun  ", tone: "strong" },
      { text: bar(done / count, BAR), tone: failed > 0 ? "bad" : "good" },
      { text: `  ${done}/${count}  failed ${failed}` },
    ],
  ];
  if (trouble !== undefined) lines.push(plain(`       ${trouble.message}`, "bad"));
  if (result !== undefined) {
    const [low, high] = result.interval.map((share) => Math.round(share * 100));
    const share = Math.round((100 * result.failed) / Math.max(1, result.runs.length));
    lines.push(
      plain(
        `       ${result.verdict}: ${share} % of the runs failed (95 %: ${low}–${high} %)`,
        result.verdict === "passes" ? "good" : result.verdict === "flaky" ? "warn" : "bad",
      ),
    );
  }
  return [...lines, []];
}

function caseLines(capture: Capture, nowMs: number): Line[] {
  const { ci, exec, notes, changedBytes, egress } = capture;
  const replay = describeReplay(capture);
  const denied = egress.filter(({ allowed }) => !allowed).map(({ destination }) => destination);
  return pairs([
    ["command", exec === null ? undefined : formatCommand(exec.argv, 1000), "strong"],
    ["ended", formatCapturedEnd(capture), "bad"],
    ["captured", `${shortAge(capture.createdAt, nowMs)} ago, ${capture.createdAt}, on ${capture.host}`],
    ["from CI", describePlace(capture)],
    [
      "run",
      ci?.runId === undefined
        ? undefined
        : `${ci.workflow ?? ""} ${ci.runId}, attempt ${ci.attempt ?? "1"}, job ${ci.job ?? "?"}, step ${ci.step ?? "?"}`,
    ],
    ["commit", ci?.sha],
    ["base", `${capture.base.from} (${capture.isolation})`],
    ["folder", exec?.cwd ?? undefined],
    ["replays here", replay.text, replay.tone],
    ["verify failed", notes.verified?.ok === false ? notes.verified.reason : undefined, "bad"],
    [
      "size",
      `${formatSize(capture.storedBytes)} stored; ${formatSize(changedBytes.memory)} memory, ${formatSize(changedBytes.disk)} disk changed`,
    ],
    ["pinned", notes.pinned ? "yes: retention does not remove it" : undefined],
    [
      "secrets",
      notes.scan === null
        ? undefined
        : notes.scan.findings.length === 0
          ? "none found"
          : notes.scan.findings.map(({ kind, where }) => `${kind} in ${where}`).join(", "),
      "warn",
    ],
    ["denied", denied.join(", "), "warn"],
    ["fingerprint", capture.fingerprint],
  ]);
}

const caseFile: Pane<FailureRow> = {
  title: "Case",
  lines: ({ capture, key }, state) => {
    const last = capture.exec?.lastLines ?? capture.console;
    return [
      ...rerunLines(state, key),
      ...caseLines(capture, state.nowMs),
      [],
      heading("Last lines"),
      ...(last.length === 0
        ? [plain("no output", "dim")]
        : last.slice(-40).map((line) => plain(stripSequences(line)))),
    ];
  },
};

const output: Pane<FailureRow> = {
  title: "Output",
  lines: ({ capture }) =>
    (capture.exec?.lastLines ?? capture.console).map((line) => plain(stripSequences(line))),
};

const machine: Pane<FailureRow> = {
  title: "Machine",
  lines: ({ capture }) => processLines(capture),
};

const lineage: Pane<FailureRow> = {
  title: "Lineage",
  lines: ({ capture, context }, { hosts }) =>
    lineageLines(
      capture,
      hosts.find((host) => host.context === context),
    ),
};

export const FAILURE_PANES = [caseFile, output, machine, lineage, compare] as const;
