/** Comparing two captures: what varies from run to run is no difference, all else is, and nothing of either side is lost. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { alignLines } from "../../api/align-lines.ts";
import { type Comparison, compareCaptures, otherOf, tellsApart } from "../../api/compare-captures.ts";
import { formatDiff } from "../../cli/capture/diff.ts";
import { drawComparison } from "../../cli/tui/views/failures/compare.ts";
import { capture } from "./tui/world.ts";

const failed = capture();
const { exec } = failed;
if (exec === null) throw new Error("no command");
const green = capture({
  id: "capture-green",
  exec: {
    ...exec,
    exit: { code: 0, signal: null, oom: false, timedOut: false, durationMs: 9000 },
    durationMs: 9000,
  },
});
const differing = ({ sections }: Comparison): Record<string, string[]> =>
  Object.fromEntries(
    sections.map(({ title, rows }) => [
      title,
      rows.filter(tellsApart).map(({ mark, name, a, b }) => `${mark} ${name ?? ""} ${a} ${b}`),
    ]),
  );

describe("lines", () => {
  test.each<[string, string[], string[], (readonly [string, string | null, string | null])[]]>([
    [
      "equal",
      ["a", "b"],
      ["a", "b"],
      [
        ["same", "a", "a"],
        ["same", "b", "b"],
      ],
    ],
    ["numbers", ["took 3 ms"], ["took 41 ms"], [["alike", "took 3 ms", "took 41 ms"]]],
    [
      "one more",
      ["a", "c"],
      ["a", "b", "c"],
      [
        ["same", "a", "a"],
        ["only-b", null, "b"],
        ["same", "c", "c"],
      ],
    ],
    [
      "another",
      ["a", "x", "c"],
      ["a", "y", "c"],
      [
        ["same", "a", "a"],
        ["changed", "x", "y"],
        ["same", "c", "c"],
      ],
    ],
    ["nothing", [], ["a"], [["only-b", null, "a"]]],
  ])("%s", (_name, a, b, rows) => {
    expect(alignLines(a, b)).toEqual(rows.map(([mark, one, two]) => ({ mark, a: one, b: two })));
  });

  test("both sides are whole and in order, and equal ones differ nowhere", () => {
    const lines = fc.array(fc.constantFrom("a", "b", "c1", "c2", "d"), { maxLength: 12 });
    fc.assert(
      fc.property(lines, lines, (a, b) => {
        const rows = alignLines(a, b);
        expect(rows.flatMap((row) => row.a ?? [])).toEqual(a);
        expect(rows.flatMap((row) => row.b ?? [])).toEqual(b);
        expect(alignLines(a, a).every(({ mark }) => mark === "same")).toBe(true);
      }),
    );
  });

  test("of outputs that were cut, what comes before the first common line tells nothing", () => {
    const lines = (from: number) => Array.from({ length: 200 }, (_, n) => `line ${"x".repeat(from + n)}`);
    const of = (from: number) => capture({ exec: { ...exec, lastLines: lines(from) } });
    expect(differing(compareCaptures(of(0), of(3)))["Last lines"]).toEqual([
      expect.stringMatching(/^only-b/),
      expect.stringMatching(/^only-b/),
      expect.stringMatching(/^only-b/),
    ]);
  });
});

test("the first difference is the first of what was given, then of the output, then of the end", () => {
  expect(compareCaptures(failed, failed).firstDifference).toBeNull();
  expect(compareCaptures(failed, green).firstDifference).toMatchObject({
    ...{ section: "End", name: "ended", mark: "changed", a: "exited 1", b: "exited 0" },
  });
  const other = capture({
    id: "fail-other",
    exec: { ...exec, envNames: ["CI", "DEBUG"], lastLines: exec.lastLines.slice(1) },
    processes: [...failed.processes, ...failed.processes],
    listening: [],
  });
  const compared = compareCaptures(failed, other);
  expect(compared.firstDifference).toMatchObject({ section: "Environment", mark: "only-b", b: "DEBUG" });
  expect(differing(compared)).toEqual({
    Run: [],
    Environment: ["only-b  null DEBUG"],
    "Last lines": ["only-a    ✗ checkout › applies coupon (30 ms) null"],
    End: [],
    Processes: ["changed  npm run dev npm run dev ×2"],
    Ports: ["only-a  tcp 0.0.0.0:3000 null"],
  });
});

test("compared with nothing named: the newest of the command, one that went well first", () => {
  const older = { createdAt: "2020-01-01T00:00:00.000Z" };
  const alike = capture({ id: "fail-alike" });
  const stranger = capture({ id: "fail-stranger", exec: { ...exec, argv: ["make"] } });
  expect(otherOf(failed, [failed, stranger])).toBeUndefined();
  expect(otherOf(failed, [capture({ id: "fail-old", ...older }), stranger, alike])?.id).toBe("fail-alike");
  expect(otherOf(failed, [{ ...green, ...older }, alike])?.id).toBe("capture-green");
});

test("what a guest wrote is shown without its control sequences, at the width there is", () => {
  const hostile = capture({
    id: "fail-hostile",
    exec: { ...exec, lastLines: ["\x1b]52;c;aGk=\x07evil\x1b[2J\r\n\u202e日本語 👩‍👩‍👧‍👦".repeat(20)] },
    processes: [{ pid: 1, parent: 0, uid: 0, state: "S", name: "x\x1b[2J", command: "" }],
  });
  const comparison = compareCaptures(failed, hostile);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  expect(formatDiff(comparison, [failed, hostile])).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  const lines = drawComparison(comparison, 79);
  expect(lines.some((line) => line.some(({ text }) => text.startsWith("»")))).toBe(true);
});
