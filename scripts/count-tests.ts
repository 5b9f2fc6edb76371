// Adds up what vitest (JSON report) and cargo test (its summary lines) ran. Exit 1 when something failed or nothing ran.
import { readFileSync } from "node:fs";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests?: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

const [vitestPath, cargoPath] = process.argv.slice(2);
if (vitestPath === undefined || cargoPath === undefined)
  throw new Error("usage: count-tests.ts VITEST_JSON CARGO_TEXT");
let passed = 0;
let failed = 0;
let skipped = 0;
try {
  const report: Report = JSON.parse(readFileSync(vitestPath, "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  skipped += report.numPendingTests + (report.numTodoTests ?? 0);
  // A file that could not even be loaded has no tests to count.
  failed += report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  ).length;
} catch {
  failed += 1;
}
for (const [, ok, bad, ignored] of readFileSync(cargoPath, "utf8").matchAll(
  /test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/g,
)) {
  passed += Number(ok);
  failed += Number(bad);
  skipped += Number(ignored);
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
