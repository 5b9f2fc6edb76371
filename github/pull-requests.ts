/** Pull requests: which one a branch has, and where its code comes from. */
import { z } from "zod";
import { type GitHub, type RepositoryName, readAnswer } from "./client.ts";
import { parseRepository } from "./remote.ts";
import { foreignId, foreignText, webUrl } from "./text.ts";

const side = z.object({
  ref: foreignText,
  sha: foreignText,
  repo: z.object({ full_name: foreignText }).nullish(),
});
const pullRequest = z
  .object({
    number: foreignId,
    title: foreignText,
    state: foreignText,
    html_url: webUrl,
    head: side,
    base: side,
  })
  .transform(({ number, title, state, html_url, head, base }) => ({
    ...{ number, title, state, url: html_url },
    branch: head.ref,
    sha: head.sha,
    /** `OWNER/NAME`; null when the fork was deleted. */
    headRepository: head.repo?.full_name ?? null,
    baseRepository: base.repo?.full_name ?? null,
  }));
export type PullRequest = z.infer<typeof pullRequest>;

export async function getPullRequest(
  github: GitHub,
  repository: RepositoryName,
  number: number,
): Promise<PullRequest> {
  const { data } = await github.rest.pulls.get({ ...repository, pull_number: number });
  return readAnswer(pullRequest, data, "a pull request");
}

/** The open pull request of a branch that was changed last; undefined when there is none. @param options owner: of the branch's repository */
export async function findPullRequest(
  github: GitHub,
  repository: RepositoryName,
  { owner, branch }: { owner: string; branch: string },
): Promise<PullRequest | undefined> {
  const { data } = await github.rest.pulls.list({
    ...{ ...repository, head: `${owner}:${branch}`, state: "open" },
    ...{ sort: "updated", direction: "desc", per_page: 1 },
  });
  return readAnswer(z.array(pullRequest), data, "pull requests")[0];
}

/** What a repository was forked from; undefined when it is no fork. */
export async function findParent(
  github: GitHub,
  repository: RepositoryName,
): Promise<RepositoryName | undefined> {
  const { data } = await github.rest.repos.get({ ...repository });
  const shape = z.object({ parent: z.object({ full_name: foreignText }).optional() });
  const { parent } = readAnswer(shape, data, "a repository");
  return parent === undefined ? undefined : parseRepository(parent.full_name);
}
