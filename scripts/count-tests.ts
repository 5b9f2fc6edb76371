// Adds up the reports in a folder: vitest's (*.json) and what `cargo test` printed (*.txt). A report that can't be read counts as a failed
// test: suites make theirs, empty, before they begin. What failed is told again, with its reason, just above the sum: who sees only the end
// of a long log sees it. Exit 1 when something failed or nothing ran.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

// Of one failure, in characters: a message may hold all that a command printed.
const LONGEST_REASON = 2000;

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests?: number;
  testResults: VitestFile[];
}
interface VitestFile {
  name: string;
  status: string;
  message: string;
  assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
}
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function tellFailure(test: string, reason: string): void {
  const text = stripVTControlCharacters(reason).slice(0, LONGEST_REASON);
  console.log(`FAILED ${test}\n${text}${text.length < LONGEST_REASON ? "" : " …"}`.trimEnd());
}

function countVitest(text: string): Counts {
  const report: VitestReport = JSON.parse(text);
  // A file that could not even be loaded, or whose hook failed, has no failed test to count.
  let unloaded = 0;
  for (const { name, status, message, assertionResults } of report.testResults) {
    const file = relative(process.cwd(), name);
    const failed = assertionResults.filter((test) => test.status === "failed");
    for (const test of failed)
      tellFailure(`${file}: ${test.fullName}`, test.failureMessages?.join("\n") ?? "");
    if (status === "failed" && failed.length === 0) {
      unloaded += 1;
      tellFailure(file, message);
    }
  }
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
}

function countCargo(text: string): Counts {
  for (const [, test] of text.matchAll(/^---- (.+) stdout ----$/gm)) tellFailure(`cargo: ${test}`, "");
  const summaries = [...text.matchAll(/test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/g)];
  const sum = (group: number): number => summaries.reduce((all, match) => all + Number(match[group]), 0);
  return { passed: sum(1), failed: sum(2), skipped: sum(3) };
}

function count(path: string): Counts {
  try {
    const text = readFileSync(path, "utf8");
    return path.endsWith(".json") ? countVitest(text) : countCargo(text);
  } catch {
    console.error(`no report in ${path}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: count-tests.ts FOLDER");
const counts = readdirSync(folder)
  .filter((name) => /\.(json|txt)$/.test(name))
  .map((name) => count(join(folder, name)));
const total = (key: keyof Counts): number => counts.reduce((all, one) => all + one[key], 0);
console.log(`${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped`);
process.exitCode = total("failed") > 0 || total("passed") === 0 ? 1 : 0;
