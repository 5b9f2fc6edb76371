import { findExpressions, mentionsOf } from "../expressions.ts";
import type { Hit, Rule } from "../finding.ts";
import { runsStrangersCode } from "../strangers-code.ts";
import { isStrangers } from "../triggers.ts";
import type { Value } from "../value.ts";
import { isOurs, type Job, type Step, type Workflow } from "../workflow.ts";

const GUARD = "`if: github.event.pull_request.head.repo.full_name == github.repository`";

/** The secrets that a value's expressions name, but the job's own token. */
function secretsIn(value: Value | undefined): Hit["at"][] {
  if (value === undefined) return [];
  return value
    .scalars()
    .filter(({ text }) =>
      findExpressions(text ?? "").some(({ body }) =>
        mentionsOf(body).some(([context, name]) => context === "secrets" && name !== "github_token"),
      ),
    );
}

function* inJob(job: Job): Generator<Hit> {
  for (const at of [...secretsIn(job.value), ...secretsIn(job.workflow.root.get("env"))])
    yield {
      at,
      message: "a pull request's code runs in this job and can read the secret",
      repair: `move what needs the secret to a job that runs none of it, or keep forks out of this one: ${GUARD}`,
    };
}

/** What our action passes into the sandbox. */
const PASSED = ["secrets", "env", "run"];

/** Variables of the job and the workflow that the step passes on by their names. */
function passedByName(step: Step): Value[] {
  const names = ["secrets", "env"].flatMap((name) => (step.input(name)?.text ?? "").split(/\s+/));
  return [step.job.value, step.job.workflow.root]
    .flatMap((scope) => scope.get("env")?.entries ?? [])
    .filter(({ name }) => names.includes(name))
    .map(({ value }) => value);
}

function* inSandbox(job: Job): Generator<Hit> {
  for (const step of job.steps.filter((step) => isOurs(step) && isStrangers(step.triggers)))
    for (const at of [...PASSED.map(step.input), step.value.get("env"), ...passedByName(step)].flatMap(
      secretsIn,
    ))
      yield {
        at,
        message:
          "a pull request's code runs in this sandbox and can read the secret, and send it wherever `network` lets it",
        repair: `leave it out, or keep forks out of the job: ${GUARD}`,
      };
}

export const secrets: Rule = {
  id: "secrets-for-strangers",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs) {
      if (runsStrangersCode(job) !== undefined) yield* inJob(job);
      else yield* inSandbox(job);
      const passed = job.value.get("secrets");
      if (job.uses !== undefined && passed?.text === "inherit" && isStrangers(job.triggers))
        yield {
          at: passed,
          message: "the called workflow gets every secret in a run that a stranger can start",
          repair: `name the secrets that it needs instead of \`inherit\`, or keep forks out of the job: ${GUARD}`,
        };
    }
  },
};
