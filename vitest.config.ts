import { defineConfig } from "vitest/config";

/**
 * `unit` needs no machine; the others boot real ones, one file after the other so that two cores suffice. A failed test is never tried
 * again: a flaky test is a bug in the test or in the product.
 */
const machines = {
  testTimeout: 120_000,
  hookTimeout: 600_000,
  fileParallelism: false,
  globalSetup: ["test/machines.ts"],
};

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 60_000 } },
      { test: { name: "fuzz", include: ["test/fuzz/**/*.test.ts"], testTimeout: 120_000 } },
      { test: { name: "conformance", include: ["test/conformance/**/*.test.ts"], ...machines } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...machines } },
    ],
  },
});
