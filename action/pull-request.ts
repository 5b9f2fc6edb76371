/**
 * A pull request's preview: one sandbox that stays when the job ends, one comment and one deployment that say where it is. Knows nothing of
 * `@actions/core`: it takes a client of GitHub's API and one of thaw's daemon.
 */
import type { Sandbox, Thaw } from "../client/index.ts";
import { type GitHub, GitHubError, getPullRequest } from "../github/index.ts";
import { type CommentView, writeComment, writeStep } from "./pull-request/comment.ts";
import { deploy, retireDeployments } from "./pull-request/deployment.ts";
import type { PullRequestEvent, PullRequestHead } from "./pull-request/event.ts";
import {
  findByBranch,
  listPreviews,
  previewLabels,
  type RunNumber,
  removeAll,
  shaOf,
  waitForAnswer,
} from "./pull-request/sandboxes.ts";
import type { StepFailure } from "./pull-request/step-sections.ts";

export { type PullRequestEvent, type PullRequestHead, readPullRequestEvent } from "./pull-request/event.ts";
export { judgePullRequest, type Verdict } from "./pull-request/fork.ts";
export { findEphemeralReason } from "./pull-request/runner.ts";
export { previewName, type RunNumber } from "./pull-request/sandboxes.ts";
export { keyOfStep, type StepFailure } from "./pull-request/step-sections.ts";

/** Clients, and how people are told of what could not be written. */
export interface Clients {
  /** Whether comments may be written. */
  comments: boolean;
  github: GitHub;
  thaw: Thaw;
  /** Name of this host, as contexts call it. */
  host: string;
  /** Told once for each thing that could not be written. */
  notice: (text: string) => void;
  signal: AbortSignal;
}

export interface PublishOptions {
  head: PullRequestHead;
  run: RunNumber;
  /** The run's page. */
  runUrl?: string | undefined;
  /** It runs, and has what is to be shown. */
  sandbox: Sandbox;
  /** The port in it that is shown. */
  port: number;
  /** For how long the link is good. */
  linkMs: number;
  /** How long it may take until the port answers. */
  answerMs: number;
}

/** Does what GitHub may refuse: a refusal is told with the permission it takes, and fails nothing. */
async function attempt<T>(
  { notice }: Pick<Clients, "notice">,
  { what, permission, verb = "written" }: { what: string; permission: string; verb?: string },
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GitHubError)) throw error;
    const lacks =
      error.status === 403 || error.status === 404
        ? ` (needs the permission ${error.permission ?? permission})`
        : "";
    notice(`${what} could not be ${verb}${lacks}: ${error.message}`);
    return undefined;
  }
}

const COMMENT = { what: "the comment", permission: "pull-requests: write" };
const DEPLOYMENT = { what: "the deployment", permission: "deployments: write" };

/** Writes the pull request's comment, where that is wanted and permitted. */
async function tryComment(
  clients: Clients,
  about: Pick<PullRequestHead, "repository" | "number">,
  view: CommentView,
  options?: Parameters<typeof writeComment>[3],
): Promise<string | undefined> {
  if (!clients.comments) return undefined;
  return attempt(clients, COMMENT, () => writeComment(clients.github, about, view, options));
}

async function describeOpen(
  sandbox: Sandbox,
  { host, signal, port, linkMs }: Pick<Clients, "host" | "signal"> & Pick<PublishOptions, "port" | "linkMs">,
): Promise<NonNullable<CommentView["open"]>> {
  const { url, expiresAt } = await sandbox.previews.create({ port, ttlMs: linkMs }, { signal });
  const { expiresAt: until } = await sandbox.refresh({ signal });
  return { url, expiresAt, until, host, sandbox: sandbox.name, sha: shaOf(sandbox) };
}

/**
 * Makes a sandbox the pull request's preview: waits until it answers, says where it is, then removes the one before. When a newer run has
 * published meanwhile, or the pull request was closed, this one is removed instead.
 * @returns the preview's address, and the comment's; undefined when it was removed instead
 * @throws ThawError `timeout` when it does not answer; the one before stays
 */
export async function publishPreview(
  clients: Clients,
  options: PublishOptions,
): Promise<{ url: string; comment: string | undefined } | undefined> {
  const { github, thaw, signal } = clients;
  const { head, run, runUrl, sandbox, port, linkMs, answerMs } = options;
  await waitForAnswer(sandbox, { port, withinMs: answerMs, signal });
  await sandbox.setLabels(previewLabels(head, run), { signal });
  const [newest, ...others] = await listPreviews(thaw, head, signal);
  if (newest?.id !== sandbox.id) {
    await removeAll([sandbox], signal);
    return undefined;
  }
  if (await hasClosed(clients, head)) {
    await retirePreviews(clients, { kind: "closed", repository: head.repository, number: head.number });
    return undefined;
  }
  const open = await describeOpen(sandbox, { ...clients, port, linkMs });
  const { sha, branch } = head;
  const view: CommentView = { state: "ready", sha, branch, open, runUrl };
  const comment = await tryComment(clients, head, view);
  await attempt(clients, DEPLOYMENT, () => deploy(github, head, { url: open.url, runUrl }));
  await removeAll(others, signal);
  return { url: open.url, comment };
}

/** The event of a close may have been handled before there was this preview. */
async function hasClosed(clients: Clients, { repository, number }: PullRequestHead): Promise<boolean> {
  const asked = { what: "the pull request's state", permission: "pull-requests: read", verb: "read" };
  const found = await attempt(clients, asked, () => getPullRequest(clients.github, repository, number));
  return found?.state === "closed";
}

/** Says that a commit has no preview, and why: its build failed, or it may not have one. The preview before stays. */
export async function reportNoPreview(
  clients: Clients,
  options: Pick<PublishOptions, "head" | "runUrl" | "port" | "linkMs"> & {
    state: "failed" | "refused";
    reason?: string | undefined;
    replayCommand?: string | undefined;
  },
): Promise<void> {
  const { head, state, reason, replayCommand, runUrl } = options;
  const [before] = await listPreviews(clients.thaw, head, clients.signal);
  const open = before === undefined ? undefined : await describeOpen(before, { ...clients, ...options });
  const { sha, branch } = head;
  const view: CommentView = { state, sha, branch, reason, replayCommand, runUrl, open };
  await tryComment(clients, head, view);
}

/**
 * Says in the pull request's comment that a step has failed and how its capture is opened, or takes that away again when `failure` is undefined.
 * Whatever else the comment says stays.
 */
export async function reportStep(
  clients: Pick<Clients, "github" | "notice">,
  about: Pick<PullRequestHead, "repository" | "number">,
  step: { key: string; failure: StepFailure | undefined },
): Promise<void> {
  await attempt(clients, COMMENT, () => writeStep(clients.github, about, step));
}

/** Removes previews of a pull request that closed, or whose branch is gone, and says so. @returns how many were removed */
export async function retirePreviews(
  clients: Clients,
  event: Extract<PullRequestEvent, { kind: "closed" | "branch-deleted" }>,
): Promise<number> {
  const { github, thaw, signal, host, notice } = clients;
  const { repository } = event;
  const numbers = event.kind === "closed" ? [event.number] : await findByBranch(thaw, event, signal);
  const reason = event.kind === "closed" ? "the pull request was closed" : "the branch was deleted";
  let removed = 0;
  for (const number of numbers) {
    const about = { repository, number };
    const previews = await listPreviews(thaw, about, signal);
    await removeAll(previews, signal);
    removed += previews.length;
    if (previews.length === 0)
      notice(`there is no preview of #${number} on ${host}; a preview on another host ends with its ttl`);
    const missing = previews.length === 0 ? `; there was no preview of it on ${host}` : "";
    const view: CommentView = { state: "retired", reason: `${reason}${missing}` };
    await tryComment(clients, about, view, { create: false });
    await attempt(clients, DEPLOYMENT, () => retireDeployments(github, about));
  }
  return removed;
}
