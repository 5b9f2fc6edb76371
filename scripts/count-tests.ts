// Adds up the reports in a folder: vitest's (*.json) and what `cargo test` printed (*.txt). A report that can't be read counts as a failed
// test: suites make theirs, empty, before they begin. Exit 1 when something failed or nothing ran.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests?: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function countVitest(text: string): Counts {
  const report: VitestReport = JSON.parse(text);
  // A file that could not even be loaded has no tests to count.
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
}

function countCargo(text: string): Counts {
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
