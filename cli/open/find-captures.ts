import type { Capture } from "../../client/index.ts";
import {
  type CaptureNotice,
  type GitHub,
  getJob,
  type Job,
  listCaptureNotices,
  listFailedJobs,
  nameOf,
  type RepositoryName,
  type WorkflowRun,
} from "../../github/index.ts";
import { askEveryContext } from "../every-context.ts";

/** A failed job, and the captures that its notices name. */
export interface JobCaptures {
  job: Job;
  captures: CaptureNotice[];
}

/** Jobs whose notices are read; each is a request. */
const MAX_JOBS = 30;

/**
 * The failed jobs of a run, those that announced captures with them.
 * @param options job: a job's name or a part of it, `id` its number; capture: only that one; enough: stop at the first job that has some
 */
export async function findJobCaptures(
  github: GitHub,
  repository: RepositoryName,
  run: WorkflowRun,
  options: {
    job?: string | undefined;
    id?: number | undefined;
    capture?: string | undefined;
    enough?: boolean;
  },
): Promise<JobCaptures[]> {
  const { id, job, capture, enough = false } = options;
  const failed =
    id === undefined ? await listFailedJobs(github, repository, run) : [await getJob(github, repository, id)];
  const asked = job === undefined ? failed : matching(failed, job);
  const found: JobCaptures[] = [];
  for (const one of asked.slice(0, MAX_JOBS)) {
    const notices = await listCaptureNotices(github, repository, one);
    const captures = notices.filter((notice) => capture === undefined || notice.id === capture);
    found.push({ job: one, captures });
    if (enough && captures.length > 0) break;
  }
  return found;
}

/** Jobs of that name; where there are none, those with it in their name, in any case. */
export function matching(jobs: readonly Job[], name: string): Job[] {
  const exact = jobs.filter((job) => job.name === name);
  const part = name.toLowerCase();
  return exact.length > 0 ? exact : jobs.filter((job) => job.name.toLowerCase().includes(part));
}

/** A capture that a host has, and the context that leads to it. */
export interface HostCapture {
  context: string;
  capture: Capture;
}

/** Whether a capture is of that run, as its case file says. */
export function isOfRun({ ci }: Pick<Capture, "ci">, repository: RepositoryName, run: WorkflowRun): boolean {
  return (
    ci?.repository?.toLowerCase() === nameOf(repository).toLowerCase() &&
    ci.runId === String(run.id) &&
    (ci.attempt ?? "1") === String(run.attempt)
  );
}

/** Captures of a run on this host and on those of every context: jobs need not have announced them. Hosts that don't answer are passed over. */
export async function findOnHosts(
  repository: RepositoryName,
  run: WorkflowRun,
  signal: AbortSignal,
): Promise<HostCapture[]> {
  const answers = await askEveryContext(signal, async (client, late) => {
    const { captures } = await client.captures.list({ repository: nameOf(repository) }, { signal: late });
    return captures.filter((capture) => isOfRun(capture, repository, run));
  });
  return answers.flatMap((answer) =>
    answer.error === undefined ? answer.value.map((capture) => ({ context: answer.context, capture })) : [],
  );
}
