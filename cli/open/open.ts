import { ThawError } from "../../client/index.ts";
import {
  type CaptureNotice,
  type GitHub,
  type Job,
  nameOf,
  type RepositoryName,
  type WorkflowRun,
} from "../../github/index.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";
import { checkShell, type ReplayFlags, replay } from "../replay/replay.ts";
import { findWhere, type Where } from "./checkout.ts";
import { translated, withGitHub } from "./connect-github.ts";
import { findJobCaptures, findOnHosts, type HostCapture } from "./find-captures.ts";
import { type FoundRuns, findRuns, nothingFailed } from "./find-runs.ts";
import { describePlace } from "./list.ts";
import { locate } from "./locate.ts";
import type { NamedRun } from "./run-argument.ts";

/** Flags of `thaw open`. */
export interface OpenFlags extends ReplayFlags {
  pr?: number;
  run?: NamedRun;
  job?: string;
  /** A capture's. */
  id?: string;
  repo?: string;
  list?: boolean;
}

/** Runs of the newest failed commit that are looked at: a push starts several workflows, and not all of them use thaw. */
const MAX_RUNS = 10;

/** What was found, and of what. */
export interface Found {
  repository: RepositoryName;
  run: WorkflowRun;
  job: Job | undefined;
  capture: CaptureNotice | HostCapture;
}

/** `thaw open`. @returns the exit code of the command in the replay, or thaw's */
export async function open(argv: readonly string[], flags: OpenFlags): Promise<number> {
  if (flags.level !== "files") checkShell(argv, flags, "thaw open -- COMMAND");
  const place = await findPlace(flags);
  // From here on, the replay's own signals.
  if (place.context !== undefined) process.env.THAW_CONTEXT = place.context;
  return replay(place.reference, argv, flags);
}

async function findPlace(flags: OpenFlags): Promise<{ reference: string; context?: string }> {
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const where = await translated(() => findWhere(process.cwd(), flags));
  return withGitHub({ host: where.host, signal }, async (github) => {
    const found = await findNewest(github, where, flags, signal);
    if (flags.json !== true) writeErr(describe(found));
    return locate(found, { github, flags, signal });
  });
}

async function findNewest(
  github: GitHub,
  where: Where,
  flags: OpenFlags,
  signal: AbortSignal,
): Promise<Found> {
  const { pr, run } = flags;
  const runs = await findRuns(github, where, { pr, run, limit: MAX_RUNS });
  const [newest] = runs.runs;
  if (newest === undefined) throw nothingFailed(runs, where);
  const ofCommit = runs.runs.filter(({ sha }) => sha === newest.sha);
  return (
    (await findAnnounced(github, runs, ofCommit, flags)) ??
    (await findUnannounced(runs, ofCommit, { capture: flags.id, signal })) ??
    nothingKept(runs, ofCommit, flags)
  );
}

async function findAnnounced(
  github: GitHub,
  { repository }: FoundRuns,
  ofCommit: readonly WorkflowRun[],
  { job: name, run: named, id: wanted, json }: OpenFlags,
): Promise<Found | undefined> {
  for (const run of ofCommit) {
    const options = { job: name, id: named?.job, capture: wanted, enough: true };
    const jobs = await findJobCaptures(github, repository, run, options);
    const { job, captures } = jobs.find((one) => one.captures.length > 0) ?? { job: undefined, captures: [] };
    const [capture, ...others] = captures;
    if (capture === undefined) continue;
    for (const other of json === true ? [] : others)
      writeErr(`thaw: the job has another capture: ${cleanText(describePlace(other))}\n`);
    return { repository, run, job, capture };
  }
  return undefined;
}

/** Captures that no job announced, as those of `thaw run` in a workflow without the Action: hosts are asked. */
async function findUnannounced(
  { repository }: FoundRuns,
  ofCommit: readonly WorkflowRun[],
  { capture: wanted, signal }: { capture: string | undefined; signal: AbortSignal },
): Promise<Found | undefined> {
  for (const run of ofCommit) {
    const onHosts = await findOnHosts(repository, run, signal);
    const capture = onHosts.find(({ capture: { id } }) => wanted === undefined || id === wanted);
    if (capture !== undefined) return { repository, run, job: undefined, capture };
  }
  return undefined;
}

function nothingKept(
  { repository }: FoundRuns,
  ofCommit: readonly WorkflowRun[],
  { job, id }: OpenFlags,
): never {
  const runs = ofCommit.map(({ id, workflow }) => `${id} (${workflow})`).join(", ");
  const what = id === undefined ? "nothing was kept of what failed" : `no failed job has kept ${id}`;
  const of = job === undefined ? "" : ` in a failed job called ${job}`;
  throw new ThawError("not-found", `${what}${of}: ${nameOf(repository)}, run ${runs}`, {
    hint: "to see older runs: thaw open --list; to capture failures, set capture: on-failure in the workflow's step",
  });
}

/** Which run it is, in a line. */
function describe({ repository, run, job, capture }: Found): string {
  const ending = "place" in capture ? (capture.ending ?? run.conclusion) : run.conclusion;
  const words = [
    `${nameOf(repository)} run ${run.id}${run.attempt === 1 ? "" : ` attempt ${run.attempt}`}`,
    `${run.workflow}${job === undefined ? "" : ` / ${job.name}`}`,
    `${ending}, ${formatAge(run.startedAt)}`,
    `${run.branch ?? ""} @ ${run.sha.slice(0, 7)}`,
    run.title,
  ];
  return `${styleErr("dim", cleanText(words.join(" · ")))}\n`;
}
