import { expect, test } from "vitest";
import type { StepPlan } from "../../../action/plan.ts";
import { MAX_SUMMARY_BYTES, summarise } from "../../../action/report.ts";
import type { StepResult } from "../../../action/step.ts";

const plan = { title: "npm test", settings: {}, sandbox: undefined } as unknown as StepPlan;
const result = {
  ...{ outcome: "failure", exitCode: 3, error: undefined, code: undefined, sandbox: undefined, stays: false },
  ...{
    exec: undefined,
    denied: [],
    sent: undefined,
    brought: undefined,
    capture: undefined,
    rerun: undefined,
  },
  ...{ notes: [], pulled: undefined, fetched: undefined, host: "ci-3" },
} satisfies StepResult as StepResult;
const denied = Array.from({ length: 30 }, () => ({
  ...{ destination: "*".repeat(20_000), port: 443, count: 1, rule: null, reason: "<".repeat(20_000) },
})) as unknown as StepResult["denied"];

test.each<[string, Partial<StepResult>, string[], RegExp]>([
  ["short", { notes: ["n"] }, ["last"], /- n\n[\s\S]*Last 1 lines[\s\S]*last/],
  [
    "denied connections",
    { denied, notes: ["n"] },
    ["last"],
    /- n\n[\s\S]*Last 1 lines[\s\S]*Left out, because GitHub limits the size of a summary: denied connections \(.*\)\.\n$/,
  ],
  ["a title and an error without end", { outcome: "error", error: "*".repeat(2e6) }, [], /^### ✗ .*…\n/],
])("a summary fits into GitHub's limit, and says what was cut: %s", (_name, changes, output, expected) => {
  const text = summarise({ ...result, ...changes }, { plan, output, totalMs: 1000 });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_SUMMARY_BYTES);
  expect(text).toMatch(expected);
  const opened = text.match(/<details>/g)?.length ?? 0;
  expect(text.match(/<\/details>/g)?.length ?? 0).toBe(opened);
});

test("the largest parts go whole, and those that fit stay", () => {
  const notes = Array.from({ length: 50 }, () => "*".repeat(2_000));
  const output = Array.from({ length: 40 }, () => "\u{1f600}".repeat(1_000));
  const text = summarise({ ...result, notes, denied }, { plan, output, totalMs: 1000 });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_SUMMARY_BYTES);
  expect(text).toMatch(/Left out, because .*: denied connections/);
  expect(text).toContain("Last 40 lines");
});
