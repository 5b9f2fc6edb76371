/** Who can make a workflow run, and for which events a condition lets it. */
import { Binary, type Expr, Grouping, Literal, Logical, Unary } from "@actions/expressions/ast";
import { pathOf } from "./expressions.ts";

/** Anybody's pull request starts it, with its own code and its own version of the workflow; a fork's gets no secrets and a token that reads. */
export const PULL_REQUEST = new Set(["pull_request", "pull_request_review", "pull_request_review_comment"]);

/** Anybody can start it, and it runs with the repository's secrets, token and caches. */
export const PRIVILEGED = new Set([
  ...["pull_request_target", "workflow_run", "issue_comment", "issues", "discussion", "discussion_comment"],
  ...["fork", "watch", "gollum"],
]);

export function hasAny(triggers: ReadonlySet<string>, wanted: ReadonlySet<string>): boolean {
  return [...wanted].some((trigger) => triggers.has(trigger));
}

/** Whether a stranger can start it. */
export function isStrangers(triggers: ReadonlySet<string>): boolean {
  return hasAny(triggers, PULL_REQUEST) || hasAny(triggers, PRIVILEGED);
}

const HEAD_REPOSITORY = "github.event.pull_request.head.repo";

function nameOf(expression: Expr): string | undefined {
  return pathOf(expression)?.join(".");
}

function literalOf(expression: Expr): string | undefined {
  return expression instanceof Literal ? expression.literal.coerceString().toLowerCase() : undefined;
}

function without(triggers: ReadonlySet<string>, left: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...triggers].filter((trigger) => !left.has(trigger)));
}

/** Events of which a fork's pull request is one. */
const OF_FORKS = new Set([...PULL_REQUEST, "pull_request_target"]);

/** What tells a fork from the repository when it is compared with the repository's own. */
const NAMES_OF_FORKS = new Set([
  ...[
    `${HEAD_REPOSITORY}.full_name`,
    `${HEAD_REPOSITORY}.owner.login`,
    "github.event.pull_request.head.user.login",
  ],
]);

function isNamed(names: readonly (string | undefined)[]): boolean {
  return ["github.repository", "github.repository_owner"].some((name) => names.includes(name));
}

/** What `a == b` leaves of the events; undefined when it says nothing of them. */
function narrowEqual(
  triggers: ReadonlySet<string>,
  sides: readonly [Expr, Expr],
  isEqual: boolean,
): ReadonlySet<string> {
  const [left, right] = sides.map((side) => nameOf(side));
  const value = sides.map(literalOf).find((literal) => literal !== undefined);
  const names = [left, right];
  if (names.includes("github.event_name") && value !== undefined)
    return new Set([...triggers].filter((trigger) => (trigger === value) === isEqual));
  const isFork =
    names.includes(`${HEAD_REPOSITORY}.fork`) && (value === "false") === isEqual && value !== undefined;
  const isOwn =
    isEqual &&
    names.some((name) => NAMES_OF_FORKS.has(name ?? "")) &&
    (isNamed(names) || value !== undefined);
  if (isFork || isOwn) return without(triggers, OF_FORKS);
  // a pull request's own ref is refs/pull/…; with the other events it is the default branch's
  if (names.includes("github.ref") && isEqual && value?.startsWith("refs/heads/") === true)
    return without(triggers, PULL_REQUEST);
  return triggers;
}

/** The events for which a condition can be true. What it does not understand may be true for all. */
export function narrowTriggers(triggers: ReadonlySet<string>, condition: Expr): ReadonlySet<string> {
  if (condition instanceof Grouping) return narrowTriggers(triggers, condition.group);
  if (condition instanceof Logical) {
    if (condition.operator.lexeme === "&&") return condition.args.reduce(narrowTriggers, triggers);
    return new Set(condition.args.flatMap((part) => [...narrowTriggers(triggers, part)]));
  }
  if (condition instanceof Unary && nameOf(condition.expr) === `${HEAD_REPOSITORY}.fork`)
    return without(triggers, OF_FORKS);
  if (condition instanceof Literal && literalOf(condition) === "false") return new Set();
  if (!(condition instanceof Binary) || !["==", "!="].includes(condition.operator.lexeme)) return triggers;
  return narrowEqual(triggers, [condition.left, condition.right], condition.operator.lexeme === "==");
}
