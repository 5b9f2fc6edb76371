import type { Source } from "./source.ts";
import type { Value } from "./value.ts";
import type { Workflow } from "./workflow.ts";

/** Something unsafe at a place of a workflow. */
export interface Finding {
  rule: string;
  file: string;
  line: number;
  column: number;
  /** What could happen, in a sentence. */
  message: string;
  repair: string;
}

/** What a rule finds: the value that it is about, and where in it. */
export interface Hit {
  at: Value;
  /** Text of the value at which it begins. */
  within?: string;
  message: string;
  repair: string;
}

/** One kind of unsafe pattern. */
export interface Rule {
  id: string;
  find: (workflow: Workflow) => Iterable<Hit>;
}

function offsetOf(source: Source, { at, within }: Hit): number {
  if (within === undefined) return at.offset;
  const found = source.text.slice(at.offset, at.end).indexOf(within);
  return at.offset + Math.max(0, found);
}

export function toFinding(rule: string, workflow: Pick<Workflow, "file" | "source">, hit: Hit): Finding {
  const { message, repair } = hit;
  return {
    rule,
    file: workflow.file,
    ...workflow.source.place(offsetOf(workflow.source, hit)),
    message,
    repair,
  };
}
