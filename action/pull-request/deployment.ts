/** The deployment that a pull request's page shows for its preview. */

import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { readAnswer } from "../../github/client.ts";
import type { GitHub } from "../../github/index.ts";
import type { PullRequestHead } from "./event.ts";

type About = Pick<PullRequestHead, "repository" | "number">;
const MAX_DEPLOYMENTS = 30;
const deployment = z.object({ id: z.int() });

function environmentOf({ number }: About): string {
  return `preview/pr-${number}`;
}

/** Says that the preview of a commit is at `url`; GitHub makes earlier ones inactive. @throws GitHubError */
export async function deploy(
  github: GitHub,
  about: About & Pick<PullRequestHead, "sha">,
  { url, runUrl }: { url: string; runUrl?: string | undefined },
): Promise<void> {
  const environment = environmentOf(about);
  const { data } = await github.rest.repos.createDeployment({
    ...{ ...about.repository, ref: about.sha, environment, description: "preview in a microVM" },
    ...{
      auto_merge: false,
      required_contexts: [],
      transient_environment: true,
      production_environment: false,
    },
  });
  const { id } = readAnswer(deployment, data, "a deployment");
  await github.rest.repos.createDeploymentStatus({
    ...{ ...about.repository, deployment_id: id, state: "success", environment, auto_inactive: true },
    environment_url: url,
    ...defined({ log_url: runUrl }),
  });
}

/** Makes the pull request's deployments inactive. @throws GitHubError */
export async function retireDeployments(github: GitHub, about: About): Promise<void> {
  const environment = environmentOf(about);
  const { data } = await github.rest.repos.listDeployments({
    ...{ ...about.repository, environment, per_page: MAX_DEPLOYMENTS },
  });
  for (const { id } of readAnswer(z.array(deployment), data, "deployments"))
    await github.rest.repos.createDeploymentStatus({
      ...{ ...about.repository, deployment_id: id, state: "inactive", environment },
    });
}
