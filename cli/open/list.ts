import { type CaptureNotice, nameOf, type WorkflowRun } from "../../github/index.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeErr, writeOut } from "../output.ts";
import { findWhere } from "./checkout.ts";
import { translated, withGitHub } from "./connect-github.ts";
import { findJobCaptures, type JobCaptures } from "./find-captures.ts";
import { findRuns, nothingFailed } from "./find-runs.ts";
import type { OpenFlags } from "./open.ts";

/** Runs that are listed; each is a request, and one more for each failed job. */
const MAX_RUNS = 10;
const HEADER = ["RUN", "WHEN", "WORKFLOW", "EVENT", "COMMIT", "JOB", "ENDED", "CAPTURE"];

/** A failed run with its failed jobs. */
export interface ListedRun extends WorkflowRun {
  jobs: JobCaptures[];
}

/** Where a capture is, in a word. */
export function describePlace({ id, place }: CaptureNotice): string {
  if (place.kind === "store") return place.reference;
  return place.kind === "host" ? `${id} on ${place.host}` : `${id} in the artifact ${place.name}`;
}

/** A row for each capture, and for each failed job without one. */
export function formatRuns(runs: readonly ListedRun[], nowMs?: number): string {
  const rows = runs.flatMap(({ jobs, ...run }) => {
    const attempt = run.attempt === 1 ? "" : ` attempt ${run.attempt}`;
    const about = [
      `${run.id}${attempt}`,
      formatAge(run.startedAt, nowMs),
      run.workflow,
      run.event,
      run.sha.slice(0, 7),
    ];
    const inJobs = jobs.flatMap(({ job, captures }) =>
      captures.length === 0
        ? [[...about, job.name, job.conclusion ?? "", "none"]]
        : captures.map((one) => [...about, job.name, one.ending ?? job.conclusion ?? "", describePlace(one)]),
    );
    return inJobs.length === 0 ? [[...about, "", run.conclusion ?? "", "none"]] : inJobs;
  });
  return formatTable(HEADER, rows);
}

/** `thaw open --list`. @throws ThawError */
export async function list(flags: OpenFlags): Promise<void> {
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const { pr, run, job } = flags;
  const where = await translated(() => findWhere(process.cwd(), flags));
  const listed = await withGitHub({ host: where.host, signal }, async (github) => {
    const found = await findRuns(github, where, { pr, run, limit: MAX_RUNS });
    if (found.runs.length === 0 && flags.json !== true) throw nothingFailed(found, where);
    if (flags.json !== true) {
      const { pullRequest, repository } = found;
      const of =
        pullRequest === undefined
          ? (where.branches[0] ?? "every branch")
          : `pull request #${pullRequest.number}`;
      writeErr(`thaw: failed runs of ${nameOf(repository)}, ${cleanText(of)}\n`);
    }
    const runs: ListedRun[] = [];
    for (const one of found.runs)
      runs.push({
        ...one,
        jobs: await findJobCaptures(github, found.repository, one, { job, id: run?.job }),
      });
    return runs;
  });
  if (flags.json === true) printJson(listed);
  else writeOut(formatRuns(listed));
}
