import type { CiContext } from "../../client/index.ts";

const longest = 1024;

/** What a CI system says of itself in our environment; undefined outside of one. */
export function readCiContext(env: NodeJS.ProcessEnv): CiContext | undefined {
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
    step: env.GITHUB_ACTION,
    actor: env.GITHUB_ACTOR,
  };
  const told = Object.entries(found).flatMap(([name, value]): [string, string][] =>
    value ? [[name, value.slice(0, longest)]] : [],
  );
  return Object.fromEntries(told);
}
