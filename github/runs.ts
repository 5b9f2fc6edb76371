/** Workflow runs and their jobs, as far as thaw looks at them. */
import { z } from "zod";
import { type GitHub, listPages, type RepositoryName, readAnswer } from "./client.ts";
import { foreignId, foreignText, webUrl } from "./text.ts";

const workflowRun = z
  .object({
    id: foreignId,
    run_attempt: z.int().positive().optional(),
    name: foreignText.nullish(),
    display_title: foreignText,
    head_branch: foreignText.nullable(),
    head_sha: foreignText,
    event: foreignText,
    status: foreignText.nullable(),
    conclusion: foreignText.nullable(),
    html_url: webUrl,
    created_at: foreignText,
    run_started_at: foreignText.nullish(),
    head_repository: z.object({ full_name: foreignText }).nullish(),
  })
  .transform((run) => ({
    id: run.id,
    attempt: run.run_attempt ?? 1,
    workflow: run.name ?? "",
    title: run.display_title,
    branch: run.head_branch,
    sha: run.head_sha,
    event: run.event,
    status: run.status,
    conclusion: run.conclusion,
    url: run.html_url,
    startedAt: run.run_started_at ?? run.created_at,
    headRepository: run.head_repository?.full_name ?? null,
  }));
export type WorkflowRun = z.infer<typeof workflowRun>;

const job = z
  .object({
    id: foreignId,
    run_id: foreignId,
    run_attempt: z.int().positive().optional(),
    name: foreignText,
    status: foreignText,
    conclusion: foreignText.nullable(),
    completed_at: foreignText.nullish(),
    html_url: webUrl.nullish(),
    runner_name: foreignText.nullish(),
  })
  .transform((found) => ({
    id: found.id,
    runId: found.run_id,
    attempt: found.run_attempt ?? 1,
    name: found.name,
    status: found.status,
    conclusion: found.conclusion,
    completedAt: found.completed_at ?? null,
    url: found.html_url ?? null,
    runner: found.runner_name ?? null,
  }));
export type Job = z.infer<typeof job>;

/** How a run or job ended that failed. A cancelled one failed too, but is superseded more often than looked at: only by its number. */
const failures = ["failure", "timed_out"] as const;
const failedConclusions: readonly (string | null)[] = [...failures, "cancelled", "startup_failure"];
/** GitHub has 256 jobs in a run at most. */
const jobPages = 3;

export function hasFailed({ conclusion }: { conclusion: string | null }): boolean {
  return failedConclusions.includes(conclusion);
}

/**
 * Failed runs of a branch, or of all, the newest first. @param options headRepository: `OWNER/NAME` whose branch it is, for pull requests of forks.
 * @throws GitHubError
 */
export async function listFailedRuns(
  github: GitHub,
  repository: RepositoryName,
  options: { branch: string | undefined; headRepository: string; limit: number },
): Promise<WorkflowRun[]> {
  const { branch, headRepository, limit } = options;
  const found: WorkflowRun[] = [];
  for (const status of failures) {
    const ofStatus: WorkflowRun[] = [];
    const runs = listPages({
      ...{ schema: workflowRun, what: "runs", pages: 2 },
      list: (page) =>
        github.rest.actions.listWorkflowRunsForRepo({
          ...{ ...repository, status, ...page },
          ...(branch === undefined ? {} : { branch }),
        }),
    });
    for await (const run of runs) {
      // A fork's branch may be called like one of ours.
      if (run.headRepository?.toLowerCase() !== headRepository.toLowerCase()) continue;
      ofStatus.push(run);
      if (ofStatus.length === limit) break;
    }
    found.push(...ofStatus);
  }
  return found
    .sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt) || b.id - a.id)
    .slice(0, limit);
}

/** @param attempt the newest when undefined */
export async function getRun(
  github: GitHub,
  repository: RepositoryName,
  { id, attempt }: { id: number; attempt?: number | undefined },
): Promise<WorkflowRun> {
  const { data } =
    attempt === undefined
      ? await github.rest.actions.getWorkflowRun({ ...repository, run_id: id })
      : await github.rest.actions.getWorkflowRunAttempt({
          ...repository,
          run_id: id,
          attempt_number: attempt,
        });
  return readAnswer(workflowRun, data, "a run");
}

/** The failed jobs of a run's attempt, in the order in which they ended. */
export async function listFailedJobs(
  github: GitHub,
  repository: RepositoryName,
  run: Pick<WorkflowRun, "id" | "attempt">,
): Promise<Job[]> {
  const jobs = listPages({
    ...{ schema: job, what: "jobs", pages: jobPages },
    list: (page) =>
      github.rest.actions.listJobsForWorkflowRunAttempt({
        ...{ ...repository, run_id: run.id, attempt_number: run.attempt },
        ...page,
      }),
  });
  const failed: Job[] = [];
  for await (const one of jobs) if (hasFailed(one)) failed.push(one);
  return failed.sort(
    (a, b) => Date.parse(a.completedAt ?? "") - Date.parse(b.completedAt ?? "") || a.id - b.id,
  );
}

export async function getJob(github: GitHub, repository: RepositoryName, id: number): Promise<Job> {
  const { data } = await github.rest.actions.getJobForWorkflowRun({ ...repository, job_id: id });
  return readAnswer(job, data, "a job");
}
