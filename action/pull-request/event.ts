/** What a workflow's event says of a pull request. All of it may be a stranger's text. */
import { z } from "zod";
import { nameOf, parseRepository, type RepositoryName } from "../../github/index.ts";

/** A pull request at one commit. */
export interface PullRequestHead {
  repository: RepositoryName;
  number: number;
  /** 40 or 64 hex digits. */
  sha: string;
  branch: string;
  author: string;
  /** The branch is in another repository; true also when that was deleted. */
  isFork: boolean;
}

export type PullRequestEvent =
  | ({
      kind: "changed" /** The label that was set just now, and by whom. */;
      labeled: { name: string; by: string } | undefined;
    } & PullRequestHead)
  | { kind: "closed"; repository: RepositoryName; number: number }
  | { kind: "branch-deleted"; repository: RepositoryName; branch: string };

/** By which a pull request is known everywhere: `owner/name#7`, in lower case. */
export function keyOf({ repository, number }: Pick<PullRequestHead, "repository" | "number">): string {
  return `${nameOf(repository)}#${number}`.toLowerCase();
}

const login = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?$/);
const repository = z.object({ full_name: z.string().transform((name) => parseRepository(name)) });
const pullRequestPayload = z.object({
  action: z.string(),
  repository,
  label: z.object({ name: z.string() }).optional(),
  sender: z.object({ login }),
  pull_request: z.object({
    number: z.int().positive(),
    state: z.string(),
    user: z.object({ login }),
    head: z.object({
      sha: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/),
      ref: z.string().max(1024),
      repo: z.object({ full_name: z.string() }).nullish(),
    }),
  }),
});
const deletePayload = z.object({ ref: z.string().max(1024), ref_type: z.string(), repository });
const EVENTS = ["pull_request", "pull_request_target", "pull_request_review"];

/**
 * Reads an event's payload (`GITHUB_EVENT_NAME`, the JSON of `GITHUB_EVENT_PATH`).
 * @returns undefined when it is about no pull request
 */
export function readPullRequestEvent(name: string, payload: unknown): PullRequestEvent | undefined {
  if (name === "delete") {
    const read = deletePayload.safeParse(payload);
    if (!read.success || read.data.ref_type !== "branch") return undefined;
    return { kind: "branch-deleted", repository: read.data.repository.full_name, branch: read.data.ref };
  }
  const read = EVENTS.includes(name) ? pullRequestPayload.safeParse(payload) : undefined;
  if (read?.success !== true) return undefined;
  const { action, label, sender, pull_request: pr } = read.data;
  const own = read.data.repository.full_name;
  const about = { repository: own, number: pr.number };
  if (action === "closed" || pr.state === "closed") return { kind: "closed", ...about };
  return {
    kind: "changed",
    ...about,
    sha: pr.head.sha,
    branch: pr.head.ref,
    author: pr.user.login,
    isFork: pr.head.repo?.full_name.toLowerCase() !== nameOf(own).toLowerCase(),
    labeled: action === "labeled" && label !== undefined ? { name: label.name, by: sender.login } : undefined,
  };
}
