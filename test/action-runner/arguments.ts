/** The command line of the harness: options of the job, and of its steps in their order. */
import { parseArgs } from "node:util";
import { parseDuration } from "../../api/duration.ts";

export const USAGE = `usage: npm run action -- [OPTION…] [--next [OPTION…]]…
Runs the built action as a self-hosted runner would, and prints its log, summary, outputs, state and every command that the runner honoured.

of a step:
  --with NAME=VALUE      an input, as in the workflow; may name \${{ steps.ID.outputs.NAME }}
  --env NAME=VALUE       the environment of the step
  --id ID                its name for the steps after it (1, 2, …)
  --cancel-after TIME    cancels the step: SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL
  --kill-after TIME      SIGKILL for the step's process
  --next                 starts another step of the job when this one is over
  --at-once              starts another step of the job beside this one
of the job:
  --event FILE           the payload that the job runs for
  --event-name NAME      pull_request where the payload has one, else push
  --job-env NAME=VALUE   the environment of the job, over what a runner sets (GITHUB_REF=…, THAW_HOME=…)
  --matrix JSON          the job's matrix
  --workspace DIR        the checkout; a small repository of its own without it
  --action DIR           an action's folder instead of what a release would hold
  --vanish               the runner is lost after the steps: no post step runs
  --repeat N             the whole job N times
`;

export interface StepArguments {
  id?: string;
  with: Record<string, string>;
  env: Record<string, string>;
  cancelAfterMs?: number;
  killAfterMs?: number;
  /** Starts beside the step before it. */
  atOnce: boolean;
}

export interface Arguments {
  steps: StepArguments[];
  event?: string;
  eventName?: string;
  jobEnv: Record<string, string>;
  matrix?: Record<string, unknown>;
  workspace?: string;
  action?: string;
  vanish: boolean;
  repeat: number;
  help: boolean;
}

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;
const OPTIONS = {
  ...{
    with: TEXT,
    env: TEXT,
    id: TEXT,
    "cancel-after": TEXT,
    "kill-after": TEXT,
    next: FLAG,
    "at-once": FLAG,
  },
  ...{ event: TEXT, "event-name": TEXT, "job-env": TEXT, matrix: TEXT, workspace: TEXT, action: TEXT },
  ...{ vanish: FLAG, repeat: TEXT, help: FLAG },
};

function addPair(to: Record<string, string>, text: string): void {
  const at = text.indexOf("=");
  if (at <= 0) throw new Error(`${text} is not NAME=VALUE`);
  to[text.slice(0, at)] = text.slice(at + 1);
}

/** @throws Error for what can't be read */
export function parseArguments(argv: string[]): Arguments {
  const { tokens } = parseArgs({ args: argv, options: OPTIONS, tokens: true });
  const newStep = (atOnce: boolean): StepArguments => ({ with: {}, env: {}, atOnce });
  let step = newStep(false);
  const job: Arguments = { steps: [step], jobEnv: {}, vanish: false, repeat: 1, help: false };
  const next = (atOnce: boolean): void => {
    step = newStep(atOnce);
    job.steps.push(step);
  };
  const read: Record<string, (value: string) => void> = {
    with: (value) => addPair(step.with, value),
    env: (value) => addPair(step.env, value),
    id: (value) => (step.id = value),
    "cancel-after": (value) => (step.cancelAfterMs = parseDuration(value)),
    "kill-after": (value) => (step.killAfterMs = parseDuration(value)),
    next: () => next(false),
    "at-once": () => next(true),
    event: (value) => (job.event = value),
    "event-name": (value) => (job.eventName = value),
    "job-env": (value) => addPair(job.jobEnv, value),
    matrix: (value) => (job.matrix = JSON.parse(value)),
    workspace: (value) => (job.workspace = value),
    action: (value) => (job.action = value),
    vanish: () => (job.vanish = true),
    repeat: (value) => (job.repeat = Number(value)),
    help: () => (job.help = true),
  };
  for (const token of tokens) if (token.kind === "option") read[token.name]?.(token.value ?? "");
  if (!(Number.isInteger(job.repeat) && job.repeat > 0)) throw new Error("--repeat needs a count");
  return job;
}
