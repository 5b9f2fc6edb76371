/** Which contexts hold text that a stranger chose, followed through variables, outputs and matrices. */
import { findExpressions, flowsOf, type Path } from "./expressions.ts";
import type { Value } from "./value.ts";
import type { Job, Step } from "./workflow.ts";

const MAX_STEPS = 8;

/** Last keys of an event's fields that hold numbers, digests, dates, fixed words, or names of a few harmless letters. */
const HARMLESS_KEYS = new Set([
  ...[
    "id",
    "node_id",
    "number",
    "sha",
    "head_sha",
    "before",
    "after",
    "merge_commit_sha",
    "run_number",
    "run_attempt",
  ],
  ...[
    "action",
    "state",
    "status",
    "conclusion",
    "event",
    "draft",
    "fork",
    "merged",
    "private",
    "locked",
    "forced",
  ],
  ...[
    "created_at",
    "updated_at",
    "closed_at",
    "merged_at",
    "timestamp",
    "author_association",
    "type",
    "schedule",
  ],
  ...[
    "login",
    "full_name",
    "html_url",
    "url",
    "clone_url",
    "ssh_url",
    "git_url",
    "avatar_url",
    "diff_url",
    "patch_url",
  ],
  ...[
    "additions",
    "deletions",
    "changed_files",
    "commits_count",
    "size",
    "comments_url",
    "statuses_url",
    "state_reason",
  ],
]);
const REPOSITORY_KEYS = new Set(["repo", "repository", "owner", "organization", "enterprise"]);

/** Actions whose outputs list names of files, branches or the like, which a stranger chooses. */
const LISTING_ACTIONS = new Set([
  ...[
    "tj-actions/changed-files",
    "dorny/paths-filter",
    "jitterbit/get-changed-files",
    "tj-actions/branch-names",
  ],
  ...["trilom/file-changes-action", "xt0rted/pull-request-comment-branch"],
]);

/** What only people with rights to write, or the repository's settings, put into an event. */
const WRITERS_KEYS = new Set([
  "release",
  "deployment",
  "deployment_status",
  "client_payload",
  "milestone",
  "ref",
  "base_ref",
  "inputs",
]);

/** Whether a path of the event is text that somebody outside chose. */
function isEventText(path: Path): boolean {
  const rest = path.slice(2);
  const last = rest.at(-1);
  if (last === undefined) return true;
  if (WRITERS_KEYS.has(rest[0] ?? "")) return false;
  if (rest[0] === "repository" && rest.length === 2) return last === "description" || last === "homepage";
  if (rest[0] === "pull_request" && rest[1] === "base") return false;
  if (last === "name" && REPOSITORY_KEYS.has(rest.at(-2) ?? "")) return false;
  return !HARMLESS_KEYS.has(last);
}

/** Expressions below a value, as paths. */
function pathsIn(value: Value | undefined): Path[] {
  if (value === undefined) return [];
  return value
    .scalars()
    .flatMap(({ text }) => findExpressions(text ?? "").flatMap(({ body }) => flowsOf(body)));
}

/** Whether a caller of the workflow or action chooses an input's text. */
function isCallersText({ workflow }: Job, name: string | undefined): boolean {
  if (workflow.kind === "action") return true;
  const call = workflow.root.get("on")?.get("workflow_call")?.get("inputs");
  if (name === undefined || name === "*") return call !== undefined;
  return call?.get(name)?.get("type")?.text === "string";
}

/** The values that a path stands for, with the job in whose scope they are. */
export function behind(path: Path, step: Step): { paths: Path[]; step: Step }[] {
  const [context, name = "", third, output = ""] = path;
  const { job } = step;
  const { root, jobs } = job.workflow;
  if (context === "env") {
    const scopes = [step.value, job.value, root].map((scope) => scope.get("env"));
    const value = name === "" || name === "*" ? scopes : [scopes.map((env) => env?.get(name)).find((v) => v)];
    return [{ paths: value.flatMap(pathsIn), step }];
  }
  if (context === "matrix") {
    const matrix = job.value.get("strategy")?.get("matrix");
    return [{ paths: pathsIn(matrix?.isMap === true ? (matrix.get(name) ?? matrix) : matrix), step }];
  }
  if (context === "needs" && third === "outputs") {
    const other = jobs.find(({ id }) => id.toLowerCase() === name);
    const outputs = other?.value.get("outputs");
    const first = other?.steps[0];
    if (first === undefined) return [];
    return [{ paths: pathsIn(output === "" ? outputs : outputs?.get(output)), step: first }];
  }
  return [];
}

/** The text of a stranger that a path leads to, as its name; undefined when there is none. */
export function taintOf(path: Path, step: Step, left = MAX_STEPS): string | undefined {
  const [context, second] = path;
  const name = path.join(".");
  if (context === "github") {
    if (second === undefined || second === "*" || second === "head_ref") return name;
    return second === "event" && isEventText(path) ? name : undefined;
  }
  if (context === "inputs") return isCallersText(step.job, second) ? name : undefined;
  if (context === "steps") {
    const other = step.job.steps.find(({ value }) => value.get("id")?.text?.toLowerCase() === second);
    return LISTING_ACTIONS.has(other?.action?.name ?? "") ? name : undefined;
  }
  if (left === 0) return undefined;
  for (const scope of behind(path, step))
    for (const inner of scope.paths) {
      const found = taintOf(inner, scope.step, left - 1);
      if (found !== undefined) return `${name} (${found})`;
    }
  return undefined;
}
