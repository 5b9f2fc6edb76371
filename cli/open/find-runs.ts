import { ThawError } from "../../client/index.ts";
import {
  findParent,
  findPullRequest,
  type GitHub,
  GitHubError,
  getPullRequest,
  getRun,
  hasFailed,
  listFailedRuns,
  nameOf,
  type PullRequest,
  type RepositoryName,
  type WorkflowRun,
} from "../../github/index.ts";
import type { Where } from "./checkout.ts";
import type { NamedRun } from "./run-argument.ts";

/** Failed runs, the newest first, in one repository. */
export interface FoundRuns {
  repository: RepositoryName;
  pullRequest: PullRequest | undefined;
  runs: WorkflowRun[];
}

interface Asked {
  pr?: number | undefined;
  run?: NamedRun | undefined;
  /** At most so many runs. */
  limit: number;
}

function isSame(a: RepositoryName, b: RepositoryName): boolean {
  return nameOf(a).toLowerCase() === nameOf(b).toLowerCase();
}

/** Repositories that a pull request may be in, the likeliest first. What a fork was made from is asked for when it is needed. */
async function* pullRequestRepositories(
  github: GitHub,
  { head, upstream }: Where,
): AsyncGenerator<RepositoryName> {
  if (upstream !== undefined) yield upstream;
  yield head;
  const parent = upstream === undefined ? await findParent(github, head) : undefined;
  if (parent !== undefined && !isSame(parent, head)) yield parent;
}

async function findByNumber(github: GitHub, where: Where, number: number): Promise<FoundPullRequest> {
  let first: unknown;
  for await (const repository of pullRequestRepositories(github, where)) {
    try {
      return { repository, pullRequest: await getPullRequest(github, repository, number) };
    } catch (error) {
      if (!(error instanceof GitHubError) || error.code !== "not-found") throw error;
      first ??= error;
    }
  }
  throw first;
}

interface FoundPullRequest {
  repository: RepositoryName;
  pullRequest: PullRequest;
}

async function findByBranch(github: GitHub, where: Where): Promise<FoundPullRequest | undefined> {
  for await (const repository of pullRequestRepositories(github, where))
    for (const branch of where.branches) {
      const pullRequest = await findPullRequest(github, repository, { owner: where.head.owner, branch });
      if (pullRequest !== undefined) return { repository, pullRequest };
    }
  return undefined;
}

async function runsOf(github: GitHub, found: FoundPullRequest, limit: number): Promise<FoundRuns> {
  const { repository, pullRequest } = found;
  const { branch, headRepository, number } = pullRequest;
  if (headRepository === null)
    throw new ThawError("not-found", `the fork of pull request #${number} was deleted`, {
      hint: "thaw open --run NUMBER",
    });
  return { ...found, runs: await listFailedRuns(github, repository, { branch, headRepository, limit }) };
}

async function getNamed(github: GitHub, { head }: Where, run: NamedRun): Promise<FoundRuns> {
  const found = await getRun(github, head, run);
  if (!hasFailed(found)) {
    const state = found.conclusion ?? found.status ?? "unknown";
    throw new ThawError("not-found", `run ${found.id} of ${nameOf(head)} has not failed: ${state}`, {
      hint: found.status === "completed" ? "thaw open --list" : "wait until it has ended",
    });
  }
  return { repository: head, pullRequest: undefined, runs: [found] };
}

/**
 * The failed runs of what was asked for: a run, a pull request, else the branch's pull request or the branch.
 * @returns at most `limit`; none when nothing failed
 * @throws GitHubError, ThawError `not-found`
 */
export async function findRuns(github: GitHub, where: Where, { pr, run, limit }: Asked): Promise<FoundRuns> {
  if (run !== undefined) return getNamed(github, where, run);
  const number = pr ?? where.pr;
  if (number !== undefined) return runsOf(github, await findByNumber(github, where, number), limit);
  const found = await findByBranch(github, where);
  if (found !== undefined) return runsOf(github, found, limit);
  const { head } = where;
  const headRepository = nameOf(head);
  const branches = where.branches.length === 0 ? [undefined] : where.branches;
  for (const branch of branches) {
    const runs = await listFailedRuns(github, head, { branch, headRepository, limit });
    if (runs.length > 0) return { repository: head, pullRequest: undefined, runs };
  }
  return { repository: head, pullRequest: undefined, runs: [] };
}

/** Why there is nothing to open. */
export function nothingFailed({ repository, pullRequest }: FoundRuns, { branches }: Where): ThawError {
  const of =
    pullRequest !== undefined
      ? `pull request #${pullRequest.number} of ${nameOf(repository)}`
      : `${branches[0] === undefined ? "" : `branch ${branches[0]} of `}${nameOf(repository)}`;
  return new ThawError("not-found", `no failed run of ${of}`, {
    hint: "thaw open --pr NUMBER, or --run NUMBER (also for cancelled runs)",
  });
}
