import type { CiContext } from "../api/schema.ts";

const LONGEST = 1024;

/**
 * What a CI system says of itself in the environment, for the case file of a capture; undefined outside of one.
 * @param more what the environment doesn't tell, e.g. the values of a job's matrix
 */
export function readCiContext(
  env: Readonly<Record<string, string | undefined>>,
  more: Partial<CiContext> = {},
): CiContext | undefined {
  if (env.GITHUB_ACTIONS !== "true") return undefined;
  const pr = /^refs\/pull\/(\d+)\//.exec(env.GITHUB_REF ?? "")?.[1];
  const found: Record<keyof CiContext, string | undefined> = {
    repository: env.GITHUB_REPOSITORY,
    sha: env.GITHUB_SHA,
    ref: env.GITHUB_HEAD_REF || env.GITHUB_REF_NAME,
    pr,
    workflow: env.GITHUB_WORKFLOW,
    runId: env.GITHUB_RUN_ID,
    attempt: env.GITHUB_RUN_ATTEMPT,
    job: env.GITHUB_JOB,
    matrix: undefined,
    step: env.GITHUB_ACTION,
    actor: env.GITHUB_ACTOR,
    ...more,
  };
  const told = Object.entries(found).flatMap(([name, value]): [string, string][] =>
    value ? [[name, value.slice(0, LONGEST)]] : [],
  );
  return Object.fromEntries(told);
}
