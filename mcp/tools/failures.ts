/** Failures: which there are, what happened, and how two differ. Nothing is thawed for it. */
import { z } from "zod";
import { type ComparedRow, compareCaptures, otherOf, tellsApart } from "../../api/compare-captures.ts";
import { defined } from "../../api/defined.ts";
import { captureQuery } from "../../api/schema.ts";
import { ThawError } from "../../client/index.ts";
import { READS, tool } from "../call.ts";
import { caseAnswer, describeCase, describeEnd, describeFailure, failureAnswer, showCase } from "../case.ts";
import { MAX_OFFSET } from "../limits.ts";
import { captureReference } from "../sandboxes.ts";
import { cleanLine, markUntrusted } from "../untrusted.ts";

const HOUR_MS = 3_600_000;
/** Rows of a comparison, and characters of each side. */
const MAX_ROWS = 100;
const ROW_CHARS = 300;
/** In how many failures the other one to compare with is looked for. */
const LOOKED_AT = 500;

const { trigger, repository, ref, pr, fingerprint } = captureQuery.shape;

export const listFailures = tool({
  name: "list_failures",
  title: "List failures",
  description:
    "Lists the failed commands whose machines thaw kept on this host, newest first. Begin here when a build is red. read_case tells one of them in full.",
  input: z.object({
    ...{ trigger, repository, ref, pr, fingerprint },
    withinHours: z.number().positive().max(8760).optional().describe("Only failures of the last hours"),
    limit: z.int().min(1).max(50).default(20),
    after: captureQuery.shape.after.describe("next of the page before"),
  }),
  output: z.object({
    failures: z.array(failureAnswer),
    unreadable: z.int().describe("Failures that are damaged or of another version"),
    next: z.string().nullable().describe("Give it as after for more; null: this is the last page"),
  }),
  annotations: READS,
  run: async ({ withinHours, ...query }, { thaw, signal }) => {
    const withinMs = withinHours === undefined ? undefined : Math.ceil(withinHours * HOUR_MS);
    const found = await thaw.captures.list(defined({ ...query, withinMs }), { signal });
    const failures = found.captures.map(describeFailure);
    const lines = found.captures.map((capture, index) => {
      const { untrusted } = failures[index] ?? describeFailure(capture);
      const { command, lastLine, ...from } = untrusted;
      const where = Object.values(from).filter((word) => word !== null);
      return `${capture.id} ${capture.createdAt} ${describeEnd(capture)}: ${command} [${where.join(" ")}] ${lastLine}`;
    });
    const text =
      lines.length === 0
        ? "No failures here. thaw keeps the machine of a command that fails with: thaw run --capture on-failure"
        : markUntrusted(`${lines.length} failures, newest first`, lines.join("\n"));
    const more = found.next === null ? [] : [`more: after ${found.next}`];
    return {
      text: [text, ...more].join("\n"),
      structured: { failures, unreadable: found.unreadable.length, next: found.next },
    };
  },
});

export const readCase = tool({
  name: "read_case",
  title: "Read the case of a failure",
  description:
    "Tells what ran, how it ended, its last 200 lines of output, processes, ports and where the run came from. Nothing is started.",
  input: z.object({
    capture: captureReference,
    offset: z
      .int()
      .min(0)
      .max(MAX_OFFSET)
      .optional()
      .describe("Where in the last output to begin, in bytes. Default: its last 16 KiB"),
  }),
  output: caseAnswer,
  annotations: READS,
  run: async ({ capture, offset }, { thaw, signal }) => {
    const found = await thaw.captures.get(capture, { signal });
    const structured = describeCase(found, offset);
    return { text: showCase(found, structured), structured };
  },
});

const row = z.object({
  section: z.string(),
  mark: z.enum(["changed", "only-a", "only-b"]),
  untrusted: z.object({ name: z.string().nullable(), a: z.string().nullable(), b: z.string().nullable() }),
});

export const compare = tool({
  name: "compare",
  title: "Compare two failures",
  description:
    "Compares two kept machines: command, output, end, processes, ports, network. What changes with every run (numbers, addresses, times) counts as alike. Without b: the newest other one of the same command, one that succeeded if there is one.",
  input: z.object({ a: captureReference, b: captureReference.optional() }),
  output: z.object({
    a: z.string(),
    b: z.string(),
    differ: z.boolean(),
    differences: z.array(row),
    more: z.int().describe("Further differences that are left out"),
  }),
  annotations: READS,
  run: async ({ a, b }, { thaw, signal }) => {
    const one = await thaw.captures.get(a, { signal });
    const other =
      b === undefined
        ? otherOf(one, (await thaw.captures.list({ limit: LOOKED_AT }, { signal })).captures)
        : await thaw.captures.get(b, { signal });
    if (other === undefined)
      throw new ThawError("not-found", `this host has no other capture of the command of ${one.id}`, {
        hint: "give b",
      });
    const { sections } = compareCaptures(one, other);
    const all = sections.flatMap(({ title, rows }) =>
      rows.filter(tellsApart).map((found) => ({ section: title, row: found })),
    );
    const differences = all.slice(0, MAX_ROWS).map(({ section, row: found }) => describeRow(section, found));
    const lines = differences.map(({ section, untrusted }) =>
      [
        `${section}${untrusted.name === null ? "" : `, ${untrusted.name}`}`,
        ...(untrusted.a === null ? [] : [`  - ${untrusted.a}`]),
        ...(untrusted.b === null ? [] : [`  + ${untrusted.b}`]),
      ].join("\n"),
    );
    const more = all.length - differences.length;
    const head = `- is ${one.id} (${describeEnd(one)}), + is ${other.id} (${describeEnd(other)})`;
    const text =
      lines.length === 0
        ? `${head}: no difference but what varies from run to run`
        : `${head}\n${markUntrusted(`${all.length} differences${more > 0 ? `, the first ${lines.length}` : ""}`, lines.join("\n"))}`;
    return { text, structured: { a: one.id, b: other.id, differ: all.length > 0, differences, more } };
  },
});

function describeRow(section: string, { mark, name, a, b }: ComparedRow): z.input<typeof row> {
  const side = (text: string | null | undefined): string | null =>
    text === null || text === undefined ? null : cleanLine(text, ROW_CHARS);
  return {
    section,
    // same and alike do not come here
    mark: mark as "changed",
    untrusted: { name: side(name), a: side(a), b: side(b) },
  };
}
