import type { Hit, Rule } from "../finding.ts";
import { findFetches, isCheckout } from "../strangers-code.ts";
import type { Workflow } from "../workflow.ts";

const REPAIR =
  "do not check it out on the runner: give thaw-ci/thaw `repository` and `ref`, which fetch it inside the sandbox, or use `pull_request`";

export const unsafeCheckout: Rule = {
  id: "unsafe-checkout",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs)
      for (const { at, isPrivileged } of findFetches(job)) {
        if (!isPrivileged) continue;
        const message =
          "a stranger's code comes onto the runner of a job that has this repository's secrets, token and caches, and can take or change them";
        yield { at, message, repair: REPAIR };
      }
  },
};

/** actions/checkout refuses a fork's pull request where it is dangerous; this turns the refusal off. */
export const unsafeCheckoutAllowed: Rule = {
  id: "unsafe-checkout-allowed",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const step of jobs.flatMap(({ steps }) => steps)) {
      const given = step.input("allow-unsafe-pr-checkout");
      if (!isCheckout(step) || given === undefined || given.text?.toLowerCase() === "false") continue;
      const message =
        "actions/checkout is told to check out a fork's pull request where it would refuse to, beside this repository's secrets";
      yield { at: given, message, repair: REPAIR };
    }
  },
};
