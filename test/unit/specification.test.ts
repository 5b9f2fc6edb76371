/** docs/SPECIFICATION.md: each promise names what proves it, and that is there. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface Proof {
  path: string;
  /** Of one test in the file, when the row names one: `test/….test.ts` "title". */
  title?: string;
}

const PROOF = /`((?:test|guest|runners|scripts)\/[^`]*)`(?: "([^"]*)")?/g;

function proofsIn(text: string): Proof[] {
  return [...text.matchAll(PROOF)].map(([, path = "", title]) =>
    title === undefined ? { path } : { path, title },
  );
}

/** What is wrong with the rows of a page, one line each. */
function faultsOf(page: string): string[] {
  const faults: string[] = [];
  for (const [index, line] of page.split("\n").entries()) {
    if (!line.startsWith("| ") || line === "| promise | test |") continue;
    faults.push(...faultsOfRow(line).map((fault) => `line ${index + 1}: ${fault}`));
  }
  return faults;
}

function faultsOfRow(line: string): string[] {
  const cells = line.slice(2, -2).split(" | ");
  const [, proof = ""] = cells;
  if (cells.length !== 2) return [`${cells.length} cells`];
  const proofs = proofsIn(proof);
  if (proofs.length === 0 && !proof.includes("*unproven*"))
    return ["names no test file and does not say *unproven*"];
  return proofs.flatMap(({ path, title }) => {
    if (!existsSync(path)) return [`there is no ${path}`];
    if (title === undefined) return [];
    const isThere = statSync(path).isFile() && readFileSync(path, "utf8").includes(title);
    return isThere ? [] : [`${path} has no test "${title}"`];
  });
}

test("each row names its tests, or says that it is unproven", () => {
  const page = readFileSync("docs/SPECIFICATION.md", "utf8");
  expect(page.split("\n").filter((line) => line.startsWith("| ")).length).toBeGreaterThan(200);
  expect(faultsOf(page)).toEqual([]);
});

test("a figure's group is one of the bench's", () => {
  const groups = readFileSync("test/bench/main.ts", "utf8");
  const named = readFileSync("docs/SPECIFICATION.md", "utf8").matchAll(/--only (\S+?)[`\s]/g);
  for (const [, name = ""] of named) expect(groups).toMatch(new RegExp(`^ {2}"?${name}"?: `, "m"));
});

describe("a row is refused", () => {
  test.each([
    ["without a test", "| it flies | seen here |", /line 1: names no test file/],
    [
      "whose file is gone",
      "| it flies | `test/unit/gone.test.ts` |",
      /there is no test\/unit\/gone\.test\.ts/,
    ],
    [
      "whose test is gone",
      '| it flies | `test/unit/units.test.ts` "it flies" |',
      /units\.test\.ts has no test "it flies"/,
    ],
    ["with a cell too many", "| it | flies | *unproven* |", /3 cells/],
  ])("%s", (_what, row, fault) => {
    expect(faultsOf(row)).toEqual([expect.stringMatching(fault)]);
  });

  test("but not one that says so, nor one with a title that is there", () => {
    expect(faultsOf("| it flies | *unproven* |\n| it walks | `test/unit/units.test.ts` |")).toEqual([]);
    expect(faultsOf('| it swims | `test/unit/specification.test.ts` "each row names its tests" |')).toEqual(
      [],
    );
  });
});
