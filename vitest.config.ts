import { defineConfig } from "vitest/config";

/** What a test sees does not depend on who runs it: a terminal under CI, say, is drawn differently. */
const OF_THE_CALLER =
  /^(CI|CONTINUOUS_INTEGRATION|BUILD_NUMBER|FORCE_COLOR|COLORTERM|NO_COLOR|NODE_OPTIONS|(GITHUB|RUNNER|INPUT|ACTIONS)_.*)$/;
for (const name of Object.keys(process.env)) if (OF_THE_CALLER.test(name)) delete process.env[name];

/** Deadlines are for what never comes: longer than a busy host makes of anything that comes. */
const patient = { testTimeout: 120_000, expect: { poll: { timeout: 60_000 } } };

/**
 * `unit` and `fuzz` need no machine. The others boot real ones, two files at a time and each worker in a state folder of its own: much of a test
 * waits. A failed test is never tried again: a flaky test is a bug in the test or in the product.
 */
const machines = {
  ...patient,
  testTimeout: 300_000,
  hookTimeout: 600_000,
  maxWorkers: 2,
  sequence: { groupOrder: 1 },
  globalSetup: ["test/machines.ts"],
  setupFiles: ["test/tell-commands.ts"],
};

/** They judge how long the daemon and a neighbour take while a guest attacks: nothing else runs beside them. */
const JUDGED = ["test/e2e/hostile.test.ts", "test/e2e/hostile-agent.test.ts"];

/** What every runner owes, and what only that of this run has. */
const CONFORMANCE = [
  "test/conformance/*.test.ts",
  `test/conformance/${process.env.THAW_RUNNER || "qemu"}/*.test.ts`,
];

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], ...patient } },
      { test: { name: "fuzz", include: ["test/fuzz/**/*.test.ts"], ...patient } },
      { test: { name: "conformance", include: CONFORMANCE, ...machines } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], exclude: JUDGED, ...machines } },
      { test: { name: "alone", include: JUDGED, ...machines, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
