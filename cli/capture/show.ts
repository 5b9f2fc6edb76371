import type { Capture } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge, formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { describeDiskAge } from "../format/disk-age.ts";
import { formatCommand, formatEnd, formatTrigger } from "../format/ending.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

const SHOWN_LINES = 40;
const SHOWN_PROCESSES = 20;

function describeVerified({ notes: { verified } }: Capture): string {
  if (verified === null) return "not yet";
  return verified.ok ? `resumes in ${Math.round(verified.resumeMs)} ms` : `no: ${verified.reason}`;
}

function describeRetention({ createdAt, notes: { pinned, maxAgeMs } }: Capture): string {
  if (pinned) return "pinned: until it is unpinned or removed";
  if (maxAgeMs === null) return "";
  return `until ${new Date(Date.parse(createdAt) + maxAgeMs).toISOString()} at most`;
}

function describeScan({ notes: { scan } }: Capture): string {
  if (scan === null) return "not looked for yet";
  if (scan.findings.length === 0) return "none found";
  const found = scan.findings.map(
    ({ kind, masked, count, where }) =>
      `${kind}${masked ? " (masked)" : ""} ×${count} in ${where === "log" ? "the case file" : where}`,
  );
  return `${found.join(", ")}: not to be published as it is`;
}

function describeCi({ ci }: Capture): string {
  if (ci === null) return "";
  const { repository, ref, pr, sha, workflow, runId, attempt, job, step, actor } = ci;
  const run =
    runId === undefined ? undefined : `run ${runId}${attempt === undefined ? "" : ` attempt ${attempt}`}`;
  const where = [
    repository,
    pr === undefined ? ref : `PR #${pr}`,
    sha?.slice(0, 7),
    workflow,
    run,
    job,
    step,
    actor,
  ];
  return where.filter((word) => word !== undefined).join(" · ");
}

/** The case of a capture, for people. All of it is the guest's or a client's text. */
export function formatCase(capture: Capture): string {
  const { exec, crash, resources, needs, changedBytes } = capture;
  const pairs: [string, string][] = [
    ["id", capture.id],
    ["when", `${formatAge(capture.createdAt)} (${capture.createdAt}) on ${capture.host}`],
    ["command", exec === null ? "" : formatCommand(exec.argv, 400)],
    [
      "ended",
      exec === null
        ? formatTrigger(capture)
        : `${formatEnd(exec.exit)} after ${formatElapsed(exec.durationMs)}`,
    ],
    ["trigger", formatTrigger(capture)],
    ["crashed", crash === null ? "" : `process ${crash.pid} (${crash.name}), held as it died`],
    ["run as", exec === null ? "" : `${exec.user ?? "?"} in ${exec.cwd ?? "?"}`],
    ["from", describeCi(capture)],
    ["sandbox", `${capture.sandbox.name} from ${capture.base.from} (${capture.base.snapshot})`],
    [
      "machine",
      `${resources.cpus} cpu, ${formatSize(resources.memoryMib * 2 ** 20)}, ${capture.isolation}, kernel ${needs.kernel}`,
    ],
    [
      "changed",
      `${formatSize(changedBytes.memory)} memory, ${formatSize(changedBytes.disk)} disk; stood still ${Math.round(capture.pauseMs)} ms`,
    ],
    ["disk", describeDiskAge(capture) ?? "written out right before the freeze"],
    ["stored", formatSize(capture.storedBytes)],
    [
      "workspace",
      capture.workspace === null
        ? ""
        : `${capture.workspace.path}, ${formatSize(capture.workspace.bytes)}, sha256 ${capture.workspace.digest.slice(0, 16)}`,
    ],
    ["fingerprint", capture.fingerprint],
    ["verified", describeVerified(capture)],
    ["secrets", describeScan(capture)],
    ["kept", describeRetention(capture)],
    ["replays here", capture.replays ?? "no"],
  ];
  const shown = pairs.filter(([, value]) => value !== "");
  return [formatPairs(shown), ...formatInside(capture)].join("\n");
}

function formatInside({ processes, listening, exec, console }: Capture): string[] {
  const sections: string[] = [];
  const section = (title: string, lines: readonly string[]): void => {
    if (lines.length > 0)
      sections.push(`${title}\n${lines.map((line) => `  ${cleanText(line)}\n`).join("")}`);
  };
  section(
    "Processes",
    processes
      .slice(0, SHOWN_PROCESSES)
      .map(({ pid, state, command, name }) => `${pid} ${state === "X" ? "ended" : state} ${command || name}`),
  );
  section(
    "Listening",
    listening.map(
      ({ protocol, address, port, pid }) =>
        `${protocol} ${address}:${port}${pid === null ? "" : ` process ${pid}`}`,
    ),
  );
  section("Last lines", exec === null ? [] : exec.lastLines.slice(-SHOWN_LINES));
  section("Console", console.slice(-SHOWN_LINES));
  return sections;
}

/** `thaw capture show`. */
export async function show(reference: string, flags: { json?: boolean }): Promise<void> {
  const capture = await withClient((client) => client.captures.get(reference));
  if (flags.json === true) printJson(capture);
  else writeOut(formatCase(capture));
}
