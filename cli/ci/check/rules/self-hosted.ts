import type { Hit, Rule } from "../finding.ts";
import { hasAny, PULL_REQUEST } from "../triggers.ts";
import { isOurs, type Job, type Workflow } from "../workflow.ts";

/** Labels of GitHub's own runners. */
const HOSTED = /^(?:ubuntu|windows|macos)-(?:latest|slim|[\w.-]*\d[\w.-]*)$/;

/** Whether a label that an expression makes can be one's own: by what stands in it, or in the matrix. */
function canBeSelfHosted(label: string, { value }: Job): boolean {
  const matrix = label.includes("matrix") ? (value.get("strategy")?.get("matrix")?.scalars() ?? []) : [];
  return [label, ...matrix.map(({ text }) => text ?? "")].some((text) => /self-hosted/i.test(text));
}

function isSelfHosted(job: Job): boolean {
  const { runsOn, value } = job;
  if (runsOn.includes("self-hosted")) return true;
  if (runsOn.some((label) => label.includes("${")))
    return runsOn.some((label) => canBeSelfHosted(label, job));
  const isHosted = runsOn.some((label) => HOSTED.test(label));
  return !isHosted && (runsOn.length > 0 || value.get("runs-on")?.isMap === true);
}

export const selfHosted: Rule = {
  id: "self-hosted-pull-request",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs) {
      if (!hasAny(job.triggers, PULL_REQUEST) || !isSelfHosted(job)) continue;
      const steps = job.steps.filter(({ action }) => action?.name !== "actions/checkout");
      const isSandboxed = steps.length > 0 && steps.every(isOurs);
      yield {
        at: job.value.get("runs-on") ?? job.value,
        message: isSandboxed
          ? "the steps run in a sandbox, but a fork's pull request can change this very file, and so run anything on your host"
          : "a fork's pull request can run anything on your host, and what it leaves there meets the next job",
        repair:
          "start it by `pull_request_target`, whose file is the base branch's, with no checkout and thaw-ci/thaw's `repository` and `ref`; or have every outside contributor's run approved (docs/RUNNER-HOST.md)",
      };
    }
  },
};
