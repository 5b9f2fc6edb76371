/** A repository on GitHub, as far as `thaw open` looks at it: handlers for the local server of the API. */
import {
  CAPTURE_NOTICE_TITLE,
  type CaptureNotice,
  formatCaptureNotice,
} from "../../github/capture-notice.ts";
import { type Answer, type Asked, example, type Handler } from "./server.ts";

export interface WorldJob {
  id: number;
  name: string;
  conclusion: string;
  notices?: CaptureNotice[];
  /** Other annotations, whatever a job writes. */
  annotations?: { title: string | null; message: string }[];
}
export interface WorldRun {
  id: number;
  attempt?: number;
  branch: string;
  sha?: string;
  conclusion: string;
  workflow?: string;
  title?: string;
  /** ISO 8601. */
  startedAt?: string;
  /** `OWNER/NAME` of the branch; default: the repository's own. */
  from?: string;
  jobs?: WorldJob[];
  artifacts?: WorldArtifact[];
}
export interface WorldArtifact {
  id: number;
  name: string;
  bytes: number;
  /** `sha256:` and hex digits. */
  digest: string;
  /** Of the storage. */
  url: string;
  expired?: boolean;
}
export interface WorldPullRequest {
  number: number;
  branch: string;
  /** `OWNER/NAME` of the branch; default: the repository's own. */
  from?: string;
}
export interface WorldRepository {
  name: string;
  parent?: string;
  runs?: WorldRun[];
  pullRequests?: WorldPullRequest[];
}

const SHA = "9f3c1e2a4b5d6e7f8091a2b3c4d5e6f708192a3b";

function toRun(repository: WorldRepository, run: WorldRun): Record<string, unknown> {
  const base =
    (example("actions/list-workflow-runs-for-repo").workflow_runs as Record<string, unknown>[])[0] ?? {};
  const startedAt = run.startedAt ?? "2026-11-26T10:00:00Z";
  return {
    ...base,
    ...{ id: run.id, run_attempt: run.attempt ?? 1, head_branch: run.branch, head_sha: run.sha ?? SHA },
    ...{ name: run.workflow ?? "test", display_title: run.title ?? "Change prices", event: "push" },
    ...{ status: "completed", conclusion: run.conclusion, created_at: startedAt, run_started_at: startedAt },
    head_repository: { ...(base.head_repository as object), full_name: run.from ?? repository.name },
  };
}

function toJob(run: WorldRun, job: WorldJob, index: number): Record<string, unknown> {
  const base =
    (example("actions/list-jobs-for-workflow-run-attempt").jobs as Record<string, unknown>[])[0] ?? {};
  return {
    ...base,
    ...{
      id: job.id,
      run_id: run.id,
      run_attempt: run.attempt ?? 1,
      name: job.name,
      conclusion: job.conclusion,
    },
    ...{
      status: "completed",
      created_at: "2026-11-26T09:59:00Z",
      completed_at: `2026-11-26T10:0${index % 10}:00Z`,
    },
  };
}

function toPullRequest(
  repository: WorldRepository,
  pr: WorldPullRequest,
  listed: boolean,
): Record<string, unknown> {
  const listExample = example("pulls/list") as unknown as Record<string, Record<string, unknown>>;
  const base = listed ? (listExample[0] ?? {}) : example("pulls/get");
  const side = (name: "head" | "base", ref: string, full_name: string) => {
    const own = base[name] as { repo: object };
    return { ...own, ref, sha: SHA, repo: { ...own.repo, full_name } };
  };
  return {
    ...base,
    ...{ number: pr.number, state: "open", title: "A change", requested_teams: [] },
    head: side("head", pr.branch, pr.from ?? repository.name),
    base: side("base", "main", repository.name),
  };
}

function toAnnotations(job: WorldJob): Record<string, unknown>[] {
  const base =
    (example("checks/list-annotations") as unknown as Record<string, Record<string, unknown>>)[0] ?? {};
  const notices = (job.notices ?? []).map(formatCaptureNotice);
  return [...(job.annotations ?? []), ...notices].map(({ title, message }) => ({
    ...base,
    ...{ annotation_level: title === CAPTURE_NOTICE_TITLE ? "notice" : "failure", title, message },
  }));
}

function toArtifact({ id, name, bytes, digest, expired = false }: WorldArtifact): Record<string, unknown> {
  const base =
    (example("actions/list-workflow-run-artifacts").artifacts as Record<string, unknown>[])[0] ?? {};
  return { ...base, ...{ id, name, size_in_bytes: bytes, digest, expired } };
}

/** Handlers that answer about these repositories. */
export function worldHandlers(repositories: readonly WorldRepository[]): Record<string, Handler> {
  const of = (asked: Asked): WorldRepository | undefined =>
    repositories.find(({ name }) => name === `${asked.parameters.owner}/${asked.parameters.repo}`);
  const within = (answer: (repository: WorldRepository, asked: Asked) => Answer | undefined): Handler => {
    return (asked) => {
      const repository = of(asked);
      return repository === undefined ? undefined : answer(repository, asked);
    };
  };
  const findRun = ({ runs = [] }: WorldRepository, { parameters }: Asked) =>
    runs.find(
      ({ id, attempt = 1 }) =>
        String(id) === parameters.run_id &&
        (parameters.attempt_number ?? String(attempt)) === String(attempt),
    );
  const getRun = within((repository, asked) => {
    const run = findRun(repository, asked);
    return run === undefined ? undefined : { body: toRun(repository, run) };
  });
  return {
    "repos/get": within(({ name, parent }) => {
      const {
        parent: base,
        source: _source,
        ...rest
      } = example("repos/get", {
        ...{ full_name: name, language: null },
      });
      return {
        body: parent === undefined ? rest : { ...rest, parent: { ...(base as object), full_name: parent } },
      };
    }),
    "pulls/get": within((repository, { parameters }) => {
      const pr = repository.pullRequests?.find(({ number }) => String(number) === parameters.pull_number);
      return pr === undefined ? undefined : { body: toPullRequest(repository, pr, false) };
    }),
    "pulls/list": within((repository, { parameters }) => ({
      body: (repository.pullRequests ?? [])
        .filter(({ branch, from = repository.name }) => parameters.head === `${from.split("/")[0]}:${branch}`)
        .map((pr) => toPullRequest(repository, pr, true)),
    })),
    "actions/list-workflow-runs-for-repo": within((repository, { parameters }) => ({
      body: (repository.runs ?? [])
        .filter(({ branch }) => parameters.branch === undefined || branch === parameters.branch)
        .filter(({ conclusion }) => parameters.status === undefined || conclusion === parameters.status)
        .map((run) => toRun(repository, run)),
      wrap: (workflow_runs, total_count) => ({ total_count, workflow_runs }),
    })),
    "actions/get-workflow-run": getRun,
    "actions/get-workflow-run-attempt": getRun,
    "actions/list-jobs-for-workflow-run-attempt": within((repository, asked) => {
      const run = findRun(repository, asked);
      return run === undefined
        ? undefined
        : {
            body: (run.jobs ?? []).map((job, index) => toJob(run, job, index)),
            wrap: (jobs, total_count) => ({ total_count, jobs }),
          };
    }),
    "actions/get-job-for-workflow-run": within(({ runs = [] }, { parameters }) => {
      for (const run of runs)
        for (const job of run.jobs ?? [])
          if (String(job.id) === parameters.job_id) return { body: toJob(run, job, 0) };
      return undefined;
    }),
    "actions/list-workflow-run-artifacts": within((repository, asked) => ({
      body: (findRun(repository, asked)?.artifacts ?? [])
        .filter(({ name }) => asked.parameters.name === undefined || name === asked.parameters.name)
        .map(toArtifact),
      wrap: (artifacts, total_count) => ({ total_count, artifacts }),
    })),
    "actions/download-artifact": within(({ runs = [] }, { parameters }) => {
      const artifacts = runs.flatMap((run) => run.artifacts ?? []);
      const found = artifacts.find(({ id }) => String(id) === parameters.artifact_id);
      return found === undefined ? undefined : { status: 302, headers: { location: found.url } };
    }),
    "checks/list-annotations": within(({ runs = [] }, { parameters }) => {
      const jobs = runs.flatMap((run) => run.jobs ?? []);
      const job = jobs.find(({ id }) => String(id) === parameters.check_run_id);
      return job === undefined ? undefined : { body: toAnnotations(job) };
    }),
  };
}
