import type { Hit, Rule } from "../finding.ts";
import { isCheckout, runsStrangersCode } from "../strangers-code.ts";
import { isStrangers } from "../triggers.ts";
import type { Workflow } from "../workflow.ts";

export const persistedCredentials: Rule = {
  id: "persisted-credentials",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs) {
      if (runsStrangersCode(job) === undefined) continue;
      for (const step of job.steps) {
        const given = step.input("persist-credentials");
        if (!isCheckout(step) || !isStrangers(step.triggers) || given?.text?.toLowerCase() === "false")
          continue;
        yield {
          at: given ?? step.uses ?? step.value,
          message:
            "the checkout leaves the job's token on the runner, where the pull request's code can read it",
          repair: "with: { persist-credentials: false }",
        };
      }
    }
  },
};

export const insecureCommands: Rule = {
  id: "insecure-commands",
  *find({ root, jobs }: Workflow): Generator<Hit> {
    const values = [root, ...jobs.flatMap(({ value, steps }) => [value, ...steps.map((step) => step.value)])];
    for (const value of values) {
      const at = value.get("env")?.get("actions_allow_unsecure_commands");
      if (at === undefined || at.text?.toLowerCase() === "false") continue;
      yield {
        at,
        message: "whatever a step prints can set variables and the search path of the steps behind it",
        repair: "leave it out; write to $GITHUB_ENV and $GITHUB_PATH instead",
      };
    }
  },
};
