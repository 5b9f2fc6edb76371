/** `comment: failure`: a failed step's capture in the pull request's one comment, and no longer there when the step passes. */
import { notice } from "@actions/core";
import { connectGitHub } from "../github/index.ts";
import { readEvent } from "./event.ts";
import { neutralise } from "./neutralise.ts";
import type { StepPlan } from "./plan.ts";
import { keyOfStep, reportStep } from "./pull-request.ts";
import { describeEnd } from "./report.ts";
import type { StepResult } from "./step.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Does nothing where the event is about no open pull request. What may not be written is a notice. */
export async function commentFailure(
  result: StepResult,
  plan: StepPlan,
  { env, token, signal }: { env: Environment; token: string; signal: AbortSignal },
): Promise<void> {
  const event = readEvent(env);
  const { capture, outcome } = result;
  const isOver = outcome === "success" || outcome === "failure" || outcome === "timeout";
  if (event?.kind !== "changed" || !isOver || (outcome !== "success" && capture === undefined)) return;
  const github = await connectGitHub({
    apiUrl: env.GITHUB_API_URL || "https://api.github.com",
    token: token === "" ? undefined : token,
    signal,
  });
  const failure =
    outcome === "success" || capture === undefined
      ? undefined
      : {
          ...{ step: plan.title, job: plan.ci?.job, ending: describeEnd(result), sha: event.sha },
          ...{ replayCommand: capture.replayCommand, runUrl: plan.runUrl },
        };
  const step = { key: keyOfStep(plan.ci), failure };
  await reportStep({ github, notice: (text) => notice(neutralise(text)) }, event, step);
}
