/** `preview: true`: the step's sandbox becomes the pull request's preview, or is kept from becoming one, or the preview goes. */
import { hostname } from "node:os";
import { notice } from "@actions/core";
import { type Thaw, ThawError } from "../client/index.ts";
import { connectGitHub } from "../github/index.ts";
import { readEvent } from "./event.ts";
import { neutralise } from "./neutralise.ts";
import type { StepPlan } from "./plan.ts";
import {
  type Clients,
  findEphemeralReason,
  judgePullRequest,
  previewName,
  publishPreview,
  reportNoPreview,
  retirePreviews,
} from "./pull-request.ts";
import type { StepResult } from "./step.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const ANSWER_MS = 120_000;
const IDLE_MS = 300_000;
const HOUR_MS = 3_600_000;

/** A preview that the step is to make. */
export interface Preview {
  plan: StepPlan;
  /** Called with the step's result. @returns the preview's address; undefined when there is none */
  finish: (result: StepResult) => Promise<string | undefined>;
}

/** An approval is of one commit: a name may lead to another by the time that it is fetched. @throws ThawError `usage` */
export function checkFetched(
  { code }: Pick<StepPlan, "code">,
  { isFork, sha }: { isFork: boolean; sha: string },
): void {
  if (code === undefined || !isFork || ("commit" in code.wanted && code.wanted.commit === sha)) return;
  throw new ThawError("usage", `preview: ref is not the pull request's commit ${sha}`, {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: what to type
    hint: "ref: ${{ github.event.pull_request.head.sha }}",
  });
}

/** Undefined: there is nothing to run, and what there was to do is done. @throws ThawError where no preview can be made */
export async function beginPreview(
  plan: StepPlan,
  { thaw, env, token, signal }: { thaw: Thaw; env: Environment; token: string; signal: AbortSignal },
): Promise<Preview | undefined> {
  const { previewPort: port = 0 } = plan;
  const event = readEvent(env);
  if (event === undefined)
    throw new ThawError("usage", `preview: ${env.GITHUB_EVENT_NAME ?? "this event"} has no pull request`, {
      hint: "on: pull_request, with types: [opened, synchronize, reopened, closed, labeled]",
    });
  const github = await connectGitHub({
    apiUrl: env.GITHUB_API_URL || "https://api.github.com",
    token: token === "" ? undefined : token,
    signal,
  });
  const clients: Clients = {
    comments: plan.comment !== "never",
    github,
    thaw,
    host: hostname(),
    notice: (text) => notice(neutralise(text)),
    signal,
  };
  if (event.kind !== "changed") {
    await retirePreviews(clients, event);
    return undefined;
  }
  checkFetched(plan, event);
  const ephemeral = await findEphemeralReason(env);
  if (ephemeral !== undefined) throw new ThawError("unsupported", `preview: ${ephemeral}`);
  const linkMs = plan.settings.ttlMs ?? 24 * HOUR_MS;
  const runUrl = `${env.GITHUB_SERVER_URL ?? "https://github.com"}/${env.GITHUB_REPOSITORY}/actions/runs/${env.GITHUB_RUN_ID}`;
  const about = { head: event, port, linkMs, runUrl };
  const verdict = await judgePullRequest(github, event, { label: undefined });
  if (!verdict.allowed) {
    clients.notice(`no preview: ${verdict.reason}`);
    await reportNoPreview(clients, { ...about, state: "refused", reason: verdict.reason });
    return undefined;
  }
  const run = { id: Number(env.GITHUB_RUN_ID ?? 0), attempt: Number(env.GITHUB_RUN_ATTEMPT ?? 1) };
  return {
    plan: withPreview(plan, { name: previewName(event, run), secrets: verdict.secrets }),
    finish: async (result) => {
      if (result.outcome !== "success" || result.sandbox === undefined) {
        const replayCommand = result.capture?.replayCommand;
        await reportNoPreview(clients, { ...about, state: "failed", reason: result.error, replayCommand });
        if (result.sandbox !== undefined)
          await thaw.sandboxes
            .at(result.sandbox.id)
            .remove()
            .catch(() => {});
        return undefined;
      }
      const sandbox = await thaw.sandboxes.get(result.sandbox.id, { signal });
      return (await publishPreview(clients, { ...about, run, sandbox, answerMs: ANSWER_MS }))?.url;
    },
  };
}

/** A stranger's code gets no secrets. */
function withPreview(plan: StepPlan, { name, secrets }: { name: string; secrets: boolean }): StepPlan {
  const settings = { ...plan.settings, name, idleMs: plan.settings.idleMs ?? IDLE_MS };
  if (secrets) return { ...plan, settings };
  const env = Object.fromEntries(
    Object.entries(settings.env ?? {}).filter(([key]) => !(key in plan.secrets)),
  );
  return { ...plan, secrets: {}, settings: { ...settings, env, mask: [] } };
}
