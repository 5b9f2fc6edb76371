/** Where a job puts a stranger's code on the runner, and whether it then runs it there. */
import { findExpressions, flowsOf, type Path } from "./expressions.ts";
import { behind, taintOf } from "./taint.ts";
import { hasAny, PRIVILEGED, PULL_REQUEST } from "./triggers.ts";
import type { Value } from "./value.ts";
import { isOurs, type Job, type Step } from "./workflow.ts";

/** What a checkout may be told without fetching a stranger's code. */
const OF_THE_REPOSITORY = new Set([
  ...[
    "github.base_ref",
    "github.repository",
    "github.event.before",
    "github.event.repository.default_branch",
  ],
  ...[
    "github.event.repository.full_name",
    "github.event.pull_request.base.sha",
    "github.event.pull_request.base.ref",
  ],
  ...["github.event.pull_request.base.repo.full_name", "github.event.pull_request.base.repo.default_branch"],
]);
/** With a pull request's own events they are the pull request; with all others the repository's. */
const OF_THE_EVENT = new Set([
  ...["github.sha", "github.ref", "github.ref_name", "github.workflow_sha", "github.workflow_ref"],
]);

/** Commands that fetch a pull request by its number or name. */
const FETCHES = [
  /\b(?:gh|hub)\s+pr\s+(?:checkout|diff|view\b[^\n]*--json[^\n]*patch)/,
  /\bgit\b[^\n]*\bpull\/[^\s]*\/(?:head|merge)\b/,
  /\bgit\b[^\n]*\brefs\/pull\//,
];
const GIT =
  /\bgit\s+(?:-\S+\s+\S+\s+)*(?:fetch|checkout|switch|pull|merge|clone|worktree|reset|rebase)\b[^\n]*/g;

export function isCheckout(step: Step): boolean {
  return step.action?.name === "actions/checkout";
}

/** Whether a path leads to the repository's own code, whoever started the step. */
function isOwn(path: Path, step: Step, left = 4): boolean {
  const name = path.join(".");
  if (path[0] === "vars" || OF_THE_REPOSITORY.has(name)) return true;
  if (OF_THE_EVENT.has(name)) return !hasAny(step.triggers, PULL_REQUEST);
  if ((path[0] !== "env" && path[0] !== "matrix") || left === 0) return false;
  return behind(path, step).every(({ paths }) => paths.every((inner) => isOwn(inner, step, left - 1)));
}

function isSafeReference(value: Value, step: Step): boolean {
  const text = value.text ?? "";
  if (/\brefs\/pull\//.test(text)) return false;
  return findExpressions(text).every(({ body }) => flowsOf(body).every((path) => isOwn(path, step)));
}

/** The input of a checkout that names a stranger's code; the step itself where it does so by default. */
function strangersCheckout(step: Step): Value | undefined {
  const [ref, repository] = ["ref", "repository"].map((name) => {
    const value = step.input(name);
    return value?.text === undefined || value.text.trim() === "" ? undefined : value;
  });
  const unsafe = [ref, repository].find((value) => value !== undefined && !isSafeReference(value, step));
  if (unsafe !== undefined) return unsafe;
  const isDefault = ref === undefined && (repository?.text ?? "${").includes("${");
  return isDefault && hasAny(step.triggers, PULL_REQUEST) ? (step.uses ?? step.value) : undefined;
}

/** A command that fetches a pull request's code. */
function strangersFetch(step: Step): Value | undefined {
  const { run } = step;
  const text = run?.text?.replaceAll(/\\\n/g, " ");
  if (run === undefined || text === undefined) return undefined;
  if (FETCHES.some((pattern) => pattern.test(text))) return run;
  for (const [command] of text.matchAll(GIT)) {
    const variables = [...command.matchAll(/\$\{?(\w+)/g)].map(([, name = ""]) => [
      "env",
      name.toLowerCase(),
    ]);
    const paths = [...variables, ...findExpressions(command).flatMap(({ body }) => flowsOf(body))];
    if (paths.some((path) => taintOf(path, step) !== undefined || isHead(path, step))) return run;
  }
  return undefined;
}

/** A commit or number of a pull request: no text that could be a command, and yet a stranger's code. */
function isHead(path: Path, step: Step, left = 4): boolean {
  const name = path.join(".");
  if (
    /^github\.event\.(?:pull_request\.(?:head\.|merge_commit_sha|number)|workflow_run\.head_|number|issue\.number)/.test(
      name,
    )
  )
    return true;
  if (path[0] !== "env" || left === 0) return false;
  return behind(path, step).some(({ paths }) => paths.some((inner) => isHead(inner, step, left - 1)));
}

/** A step that puts a stranger's code on the runner, and what of it does. */
export interface Fetched {
  step: Step;
  at: Value;
  /** Whether the workflow has the repository's rights while it does. */
  isPrivileged: boolean;
}

/** Every step of a job that puts a stranger's code on the runner. */
export function findFetches(job: Job): Fetched[] {
  return job.steps.flatMap((step): Fetched[] => {
    const isPrivileged = hasAny(step.triggers, PRIVILEGED);
    if (!isPrivileged && !hasAny(step.triggers, PULL_REQUEST)) return [];
    const at = isCheckout(step) ? strangersCheckout(step) : strangersFetch(step);
    return at === undefined ? [] : [{ step, at, isPrivileged }];
  });
}

/** The first step that runs what was fetched on the runner: a script, or an action other than ours, behind the checkout. */
export function runsStrangersCode(job: Job): Step | undefined {
  const [first] = findFetches(job);
  if (first === undefined) return undefined;
  const behind = job.steps.slice(job.steps.indexOf(first.step) + (first.step.run === undefined ? 1 : 0));
  return behind.find(
    (step) =>
      (hasAny(step.triggers, PRIVILEGED) || hasAny(step.triggers, PULL_REQUEST)) &&
      (step.run !== undefined || (step.uses !== undefined && !isOurs(step) && !isCheckout(step))),
  );
}
