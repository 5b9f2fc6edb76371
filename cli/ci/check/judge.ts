/** Judges workflows together: what calls another one gives it its events. */
import { posix } from "node:path";
import { type Finding, toFinding } from "./finding.ts";
import { rules } from "./rules.ts";
import type { Source } from "./source.ts";
import { readWorkflow, type Workflow } from "./workflow.ts";

/** A file to judge. */
export interface Input {
  /** As messages name it. */
  file: string;
  /** From the repository's root, with `/`. */
  path: string;
  source: Source;
}

const ALLOW = /#\s*thaw ci: allow ((?:[a-z-]+)(?:[ ,]+[a-z-]+)*)/;

/** The files that a workflow calls, by path, with the events after which it does. */
function* callsOf({ path, jobs }: Workflow): Generator<{ path: string; triggers: ReadonlySet<string> }> {
  for (const { uses, triggers, steps } of jobs)
    for (const call of [{ uses, triggers }, ...steps]) {
      const text = call.uses?.text;
      if (text?.startsWith("./") !== true) continue;
      const called = posix.normalize(text);
      if (called === path) continue;
      yield { path: called, triggers: call.triggers };
    }
}

function isCalled(workflow: Workflow, path: string): boolean {
  return workflow.path === path || (workflow.kind === "action" && posix.dirname(workflow.path) === path);
}

/** A file that could be read, and the events that its callers give it. */
interface Readable {
  input: Input;
  inherited: Set<string>;
  workflow: Workflow;
}

function readOne(input: Input, inherited: Set<string>): Workflow | undefined {
  const { root } = input.source;
  return root?.isMap === true ? readWorkflow({ ...input, root }, inherited) : undefined;
}

/** Gives each file its callers' events. @returns whether any was new */
function passEvents(files: readonly Readable[]): boolean {
  let isNew = false;
  for (const { path, triggers } of files.flatMap(({ workflow }) => [...callsOf(workflow)]))
    for (const { inherited } of files.filter((file) => isCalled(file.workflow, path))) {
      const before = inherited.size;
      for (const trigger of triggers) inherited.add(trigger);
      isNew ||= inherited.size > before;
    }
  return isNew;
}

/** Whether the finding's line, or the one above it, allows its rule. */
function isAllowed({ rule, line }: Finding, lines: readonly string[]): boolean {
  return [lines[line - 1], lines[line - 2]?.trimStart().startsWith("#") === true ? lines[line - 2] : ""].some(
    (text) =>
      ALLOW.exec(text ?? "")?.[1]
        ?.split(/[ ,]+/)
        .includes(rule) === true,
  );
}

function judgeOne(workflow: Workflow): Finding[] {
  return rules.flatMap((rule) => [...rule.find(workflow)].map((hit) => toFinding(rule.id, workflow, hit)));
}

function unreadable(input: Input, message: string, offset = 0): Finding {
  return {
    ...{ rule: "unreadable", file: input.file, ...input.source.place(offset) },
    message: `GitHub or thaw may read this file otherwise than it looks, or not at all: ${message}`,
    repair: "mend it, then run this again",
  };
}

/** @returns the findings in the order of files and lines; `allowed` counts those that a comment allows. */
export function judge(inputs: readonly Input[]): { findings: Finding[]; allowed: number } {
  const findings: Finding[] = [];
  const files: Readable[] = [];
  for (const input of inputs) {
    const inherited = new Set<string>();
    findings.push(...input.source.mistakes.map(({ offset, message }) => unreadable(input, message, offset)));
    try {
      const workflow = readOne(input, inherited);
      if (workflow !== undefined) files.push({ input, inherited, workflow });
      else if (input.source.mistakes.length === 0) findings.push(unreadable(input, "it is not a map"));
    } catch (error) {
      findings.push(unreadable(input, (error as Error).message));
    }
  }
  // events only ever grow, so this ends
  while (passEvents(files))
    for (const file of files) file.workflow = readOne(file.input, file.inherited) ?? file.workflow;
  for (const { input, workflow } of files) {
    try {
      findings.push(...judgeOne(workflow));
    } catch (error) {
      findings.push(unreadable(input, (error as Error).message));
    }
  }
  return sortOut(findings, inputs);
}

/** Leaves out what is allowed and what is said twice, in order of files and lines. */
function sortOut(
  all: readonly Finding[],
  inputs: readonly Input[],
): { findings: Finding[]; allowed: number } {
  const order = new Map(inputs.map(({ file }, index) => [file, index]));
  const lines = new Map(inputs.map(({ file, source }) => [file, source.text.split("\n")]));
  const once = [...new Map(all.map((finding) => [JSON.stringify(finding), finding])).values()];
  const findings = once
    .filter((finding) => !isAllowed(finding, lines.get(finding.file) ?? []))
    .sort(
      (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
    );
  return { findings, allowed: once.length - findings.length };
}
