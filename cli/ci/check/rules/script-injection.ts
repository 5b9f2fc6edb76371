import { findExpressions, flowsOf } from "../expressions.ts";
import type { Hit, Rule } from "../finding.ts";
import { taintOf } from "../taint.ts";
import type { Value } from "../value.ts";
import { isOurs, OUR_ACTION, type Step, type Workflow } from "../workflow.ts";

/** Inputs of actions that are run as a script. */
const SCRIPTS: Record<string, readonly string[]> = {
  [OUR_ACTION]: ["run", "shell"],
  "actions/github-script": ["script"],
  "azure/cli": ["inlinescript"],
  "azure/powershell": ["inlinescript"],
  "appleboy/ssh-action": ["script"],
  "nick-fields/retry": ["command", "new_command_on_retry", "on_retry_command"],
  "addnab/docker-run-action": ["run"],
};

function scriptsOf(step: Step): Value[] {
  const inputs = SCRIPTS[step.action?.name ?? ""] ?? [];
  return [step.run, step.value.get("shell"), ...inputs.map(step.input)].filter(
    (value) => value !== undefined,
  );
}

function* inStep(step: Step): Generator<Hit> {
  const where = isOurs(step)
    ? "in the sandbox, with what the step gives it"
    : "on the runner, with the job's token and secrets";
  for (const script of scriptsOf(step))
    for (const { body, whole } of findExpressions(script.text ?? "")) {
      const taint = flowsOf(body)
        .map((path) => taintOf(path, step))
        .find((found) => found !== undefined);
      if (taint === undefined) continue;
      const who = taint.includes("inputs.") ? "the caller" : "somebody outside";
      yield {
        at: script,
        within: whole,
        message: `${taint} is text that ${who} chooses, and it becomes part of the script: they can run commands ${where}`,
        repair: `give it as a variable and name that in the script: env: { VALUE: \${{${body}}} }, then "$VALUE"`,
      };
    }
}

export const scriptInjection: Rule = {
  id: "script-injection",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const step of jobs.flatMap(({ steps }) => steps)) yield* inStep(step);
  },
};
