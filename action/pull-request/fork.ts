/** Whether a pull request may have a preview on our host: one of a fork only when somebody of the repository said so for this very commit. */
import { z } from "zod";
import { listPages, readAnswer } from "../../github/client.ts";
import { type GitHub, GitHubError, getPullRequest } from "../../github/index.ts";
import type { PullRequestEvent } from "./event.ts";

type Changed = Extract<PullRequestEvent, { kind: "changed" }>;

export interface Verdict {
  allowed: boolean;
  /** Secrets may go in. Never for a fork. */
  secrets: boolean;
  /** Who allowed it, or what is missing. */
  reason: string;
}

const ASSOCIATIONS = ["OWNER", "MEMBER", "COLLABORATOR"];
/** Roles that may set labels. Of a custom role, `permission` tells what it is built on. */
const LABEL_ROLES = ["admin", "maintain", "write", "triage"];
const REVIEW_PAGES = 5;
const review = z.object({
  state: z.string(),
  commit_id: z.string().nullable(),
  author_association: z.string(),
  user: z.object({ login: z.string(), id: z.int() }).nullable(),
});

/** Who approved exactly this commit, of those that count, and did not take it back. */
async function findApproval(
  github: GitHub,
  { repository, number, sha, author }: Changed,
): Promise<string | undefined> {
  const reviews = listPages({
    ...{ schema: review, what: "reviews", pages: REVIEW_PAGES },
    list: (page) => github.rest.pulls.listReviews({ ...repository, pull_number: number, ...page }),
  });
  const last = new Map<number, z.infer<typeof review>>();
  // A comment leaves an approval as it is; anything else takes its place.
  for await (const one of reviews)
    if (one.user !== null && one.state !== "COMMENTED") last.set(one.user.id, one);
  const approval = [...last.values()].find(
    ({ state, commit_id, author_association, user }) =>
      state === "APPROVED" &&
      commit_id === sha &&
      ASSOCIATIONS.includes(author_association) &&
      user?.login.toLowerCase() !== author.toLowerCase(),
  );
  return approval?.user?.login;
}

/** Whether who set the label may set labels: an app or a rule may set them for anybody. */
async function mayLabel(github: GitHub, { repository }: Changed, by: string): Promise<boolean> {
  const { data } = await github.rest.repos.getCollaboratorPermissionLevel({ ...repository, username: by });
  const { permission, role_name } = readAnswer(
    z.object({ permission: z.string(), role_name: z.string() }),
    data,
    "a collaborator",
  );
  return LABEL_ROLES.includes(role_name) || ["admin", "write"].includes(permission);
}

/** A label counts for the commit that the pull request had when it was set. */
async function findLabeler(github: GitHub, event: Changed, label: string): Promise<string | undefined> {
  const { labeled, repository, number, sha } = event;
  if (labeled?.name !== label || !(await mayLabel(github, event, labeled.by))) return undefined;
  return (await getPullRequest(github, repository, number)).sha === sha ? labeled.by : undefined;
}

/**
 * Judges a pull request. Of a fork, a label that was just set counts, or an approving review of this commit: a push after either needs another one.
 * @param options label: the label's name; undefined: only a review counts
 */
export async function judgePullRequest(
  github: GitHub,
  event: Changed,
  { label }: { label?: string | undefined },
): Promise<Verdict> {
  if (!event.isFork) return { allowed: true, secrets: true, reason: "the branch is in this repository" };
  const commit = event.sha.slice(0, 7);
  try {
    const labeler = label === undefined ? undefined : await findLabeler(github, event, label);
    const by = labeler === undefined ? await findApproval(github, event) : undefined;
    if (labeler !== undefined)
      return { allowed: true, secrets: false, reason: `${labeler} set the label for ${commit}` };
    if (by !== undefined) return { allowed: true, secrets: false, reason: `${by} approved ${commit}` };
  } catch (error) {
    if (!(error instanceof GitHubError)) throw error;
    return {
      allowed: false,
      secrets: false,
      reason: `can't check who allowed the preview: ${error.message}`,
    };
  }
  const wanted = label === undefined ? "" : ` or the label ${label}, set again`;
  return {
    ...{ allowed: false, secrets: false },
    reason: `a pull request from a fork needs a member's approving review of ${commit}${wanted}`,
  };
}
