/** What the rules look at: a workflow's or a composite action's triggers, jobs and steps. */
import { parseCondition } from "./expressions.ts";
import type { Source } from "./source.ts";
import { narrowTriggers } from "./triggers.ts";
import type { Value } from "./value.ts";

/** An action as `uses` names it, in lower case. */
export interface ActionName {
  /** `owner/repository/path`, `./path` or `docker://image`. */
  name: string;
  /** What follows `@`; empty without one. */
  ref: string;
}

export interface Step {
  value: Value;
  job: Job;
  uses: Value | undefined;
  action: ActionName | undefined;
  run: Value | undefined;
  /** An input by its name in lower case. */
  input: (name: string) => Value | undefined;
  /** The events after which it runs, by its own and its job's conditions. */
  triggers: ReadonlySet<string>;
}

export interface Job {
  id: string;
  value: Value;
  workflow: Workflow;
  uses: Value | undefined;
  permissions: Value | undefined;
  runsOn: string[];
  steps: Step[];
  triggers: ReadonlySet<string>;
}

export interface Workflow {
  /** Path as messages name it. */
  file: string;
  /** Path from the repository's root. */
  path: string;
  kind: "workflow" | "action";
  source: Source;
  root: Value;
  /** Its own events, each with its place; none for an action. */
  on: ReadonlyMap<string, Value>;
  /** Its own events, and those of what calls it. */
  triggers: ReadonlySet<string>;
  jobs: Job[];
}

/** More than GitHub runs; aliases can repeat steps without end. */
const MAX_STEPS = 5000;

export const OUR_ACTION = "thaw-ci/thaw";

export function parseUses(text: string): ActionName {
  const at = text.startsWith("docker://") ? -1 : text.lastIndexOf("@");
  const name = (at < 0 ? text : text.slice(0, at)).toLowerCase();
  return { name, ref: at < 0 ? "" : text.slice(at + 1) };
}

export function isOurs(step: Step): boolean {
  return step.action?.name === OUR_ACTION;
}

/** Triggers of a workflow's text, by name. `on` may be a word, a list or a map. */
export function readTriggers(root: Value): Map<string, Value> {
  const on = root.get("on");
  if (on === undefined) return new Map();
  if (on.isMap) return new Map(on.entries.map(({ name, key }) => [name.toLowerCase(), key]));
  return new Map(on.items.map((item) => [item.text?.toLowerCase() ?? "", item]));
}

function narrow(triggers: ReadonlySet<string>, condition: Value | undefined): ReadonlySet<string> {
  const expression = condition?.text === undefined ? undefined : parseCondition(condition.text);
  return expression === undefined ? triggers : narrowTriggers(triggers, expression);
}

function readStep(value: Value, job: Job): Step {
  const uses = value.get("uses");
  const given = value.get("with");
  return {
    value,
    job,
    uses,
    action: uses?.text === undefined ? undefined : parseUses(uses.text),
    run: value.get("run"),
    input: (name) => given?.get(name),
    triggers: narrow(job.triggers, value.get("if")),
  };
}

function readRunsOn(value: Value | undefined): string[] {
  const labels = value?.isMap === true ? [value.get("group"), value.get("labels")] : [value];
  return labels.flatMap((label) => label?.items ?? []).flatMap(({ text }) => text?.toLowerCase() ?? []);
}

function readJob(id: string, value: Value, workflow: Workflow): Job {
  const job: Job = {
    id,
    value,
    workflow,
    uses: value.get("uses"),
    permissions: value.get("permissions") ?? workflow.root.get("permissions"),
    runsOn: readRunsOn(value.get("runs-on")),
    steps: [],
    triggers: narrow(workflow.triggers, value.get("if")),
  };
  job.steps = (value.get("steps")?.items ?? []).map((step) => readStep(step, job));
  return job;
}

function countSteps({ jobs }: Workflow): number {
  return jobs.reduce((sum, { steps }) => sum + steps.length, 0);
}

/** The rules' view of a file. Throws for one with more steps than GitHub runs. `inherited`: events of the workflows that call it. */
export function readWorkflow(
  given: Pick<Workflow, "file" | "path" | "source"> & { root: Value },
  inherited: ReadonlySet<string> = new Set(),
): Workflow {
  const { root } = given;
  const isAction = root.get("runs") !== undefined && root.get("jobs") === undefined;
  const on = isAction ? new Map<string, Value>() : readTriggers(root);
  const workflow: Workflow = {
    ...given,
    kind: isAction ? "action" : "workflow",
    on,
    triggers: new Set([...on.keys(), ...inherited]),
    jobs: [],
  };
  const runs = root.get("runs");
  const jobs =
    isAction && runs !== undefined ? [{ name: "runs", value: runs }] : (root.get("jobs")?.entries ?? []);
  for (const { name, value } of jobs) {
    workflow.jobs.push(readJob(name, value, workflow));
    if (countSteps(workflow) + workflow.jobs.length > MAX_STEPS)
      throw new Error(`it has more than ${MAX_STEPS} jobs and steps`);
  }
  return workflow;
}
