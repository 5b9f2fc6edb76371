/** The one comment on a pull request: its text, and how it is found again. */
import { z } from "zod";
import { listPages, readAnswer } from "../../github/client.ts";
import { type GitHub, GitHubError } from "../../github/index.ts";
import { inlineCode } from "../markdown.ts";
import { keyOf, type PullRequestHead } from "./event.ts";
import { link } from "./link.ts";
import { describeFailure, formatSections, readSections, type StepFailure } from "./step-sections.ts";

/** What the comment says. Texts may be a guest's or a pull request's. */
export interface CommentView {
  state: "ready" | "failed" | "refused" | "retired";
  /** The commit that `state` is about; undefined when it is retired. */
  sha?: string | undefined;
  branch?: string | undefined;
  /** Why it was refused or retired. */
  reason?: string | undefined;
  /** The preview that is open now: a failed build leaves the one before. */
  open?:
    | { url: string; sandbox: string; host: string; sha: string; expiresAt: string; until: string | null }
    | undefined;
  runUrl?: string | undefined;
  /** The command that opens the capture of the failure. */
  replayCommand?: string | undefined;
}

const COMMENT_PAGES = 30;
/** As GitHub names who writes with a workflow's own token. */
export const WORKFLOW_AUTHOR = "github-actions[bot]";

/** The hidden line by which a comment is known. */
export function markerOf(about: Pick<PullRequestHead, "repository" | "number">): string {
  return `<!-- thaw preview ${keyOf(about)} -->`;
}

const titles: Record<CommentView["state"], string> = {
  ready: "Preview is ready",
  failed: "No new preview: the build failed",
  refused: "No preview",
  retired: "Preview was removed",
};

function describeOpen({
  url,
  sandbox,
  host,
  sha,
  expiresAt,
  until,
}: NonNullable<CommentView["open"]>): string[] {
  const opened = link("Open the preview", url) ?? inlineCode(url);
  const end = until === null ? "" : ` It is removed at ${until}.`;
  return [
    `**${opened}** of ${inlineCode(sha.slice(0, 7))}. Anyone who has this link can use it until ${expiresAt}.${end}`,
    `It runs as ${inlineCode(sandbox)} on ${inlineCode(host)}, is paused when idle, and resumes on a request. To open a shell in it: ${inlineCode(`thaw --context ${host} shell ${sandbox}`)}`,
  ];
}

/** The comment's Markdown. */
export function formatComment(
  about: Pick<PullRequestHead, "repository" | "number">,
  view: CommentView,
): string {
  const { state, sha, branch, reason, open, runUrl, replayCommand } = view;
  const run = runUrl === undefined ? undefined : link("run", runUrl);
  const commit = [
    ...(sha === undefined ? [] : [`commit ${inlineCode(sha.slice(0, 7))}`]),
    ...(branch === undefined ? [] : [`branch ${inlineCode(branch.slice(0, 200))}`]),
    ...(run === undefined ? [] : [run]),
  ].join(" · ");
  const paragraphs = [
    `### ${titles[state]}`,
    commit,
    reason === undefined ? "" : `${inlineCode(reason.slice(0, 500))}`,
    ...(replayCommand === undefined
      ? []
      : [
          `**Open the failure:** ${inlineCode(replayCommand)} · in a checkout of the branch: ${inlineCode("thaw open")}`,
        ]),
    ...(open === undefined ? [] : describeOpen(open)),
  ];
  return `${markerOf(about)}\n${paragraphs.filter((text) => text !== "").join("\n\n")}\n`;
}

const comment = z.object({
  id: z.int(),
  body: z.string().optional(),
  html_url: z.string(),
  user: z.object({ login: z.string() }).nullable(),
});

/** Who we write as. A workflow's own token may not ask. */
async function findAuthor(github: GitHub): Promise<string> {
  try {
    const { data } = await github.rest.users.getAuthenticated();
    return readAnswer(z.object({ login: z.string() }), data, "the token's user").login;
  } catch (error) {
    if (error instanceof GitHubError && (error.status === 403 || error.status === 404))
      return WORKFLOW_AUTHOR;
    throw error;
  }
}

/** Our comment: by its hidden line and its author, since anybody may copy the line. */
async function findComment(
  github: GitHub,
  about: Pick<PullRequestHead, "repository" | "number">,
): Promise<z.infer<typeof comment> | undefined> {
  const author = (await findAuthor(github)).toLowerCase();
  const marker = markerOf(about);
  const comments = listPages({
    ...{ schema: comment, what: "comments", pages: COMMENT_PAGES },
    list: (page) =>
      github.rest.issues.listComments({ ...about.repository, issue_number: about.number, ...page }),
  });
  for await (const one of comments)
    if (one.body?.split("\n", 1)[0]?.trim() === marker && one.user?.login.toLowerCase() === author)
      return one;
  return undefined;
}

/**
 * Writes the comment, or edits the one there is. @param options create: false edits only
 * @returns its address; undefined when there was none to edit
 * @throws GitHubError
 */
export async function writeComment(
  github: GitHub,
  about: Pick<PullRequestHead, "repository" | "number">,
  view: CommentView,
  { create = true }: { create?: boolean } = {},
): Promise<string | undefined> {
  const found = await findComment(github, about);
  if (found === undefined && !create) return undefined;
  const body = formatComment(about, view) + formatSections(readSections(found?.body).sections);
  return write(github, about, { body, found });
}

/** Adds the failure of a step to the comment, or takes it away; makes no comment to say that nothing failed. @throws GitHubError */
export async function writeStep(
  github: GitHub,
  about: Pick<PullRequestHead, "repository" | "number">,
  { key, failure }: { key: string; failure: StepFailure | undefined },
): Promise<string | undefined> {
  const found = await findComment(github, about);
  const { rest, sections } = readSections(found?.body);
  if (failure === undefined && !sections.delete(key)) return undefined;
  if (failure !== undefined) sections.set(key, describeFailure(failure));
  const hadNothing = rest === "" || rest.trim() === markerOf(about);
  const passes = sections.size === 0 && hadNothing ? "All steps that had failed now pass.\n" : "";
  const body = `${hadNothing ? `${markerOf(about)}\n${passes}` : rest}${formatSections(sections)}`;
  return write(github, about, { body, found });
}

async function write(
  github: GitHub,
  about: Pick<PullRequestHead, "repository" | "number">,
  { body, found }: { body: string; found: { id: number } | undefined },
): Promise<string> {
  const { data } =
    found === undefined
      ? await github.rest.issues.createComment({ ...about.repository, issue_number: about.number, body })
      : await github.rest.issues.updateComment({ ...about.repository, comment_id: found.id, body });
  return readAnswer(comment, data, "a comment").html_url;
}
