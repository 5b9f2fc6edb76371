import { defineConfig } from "vitest/config";

/** Tests that need another host beside this one; `npm run test:hosts` makes it. One file at a time: they share that host. */
export default defineConfig({
  test: {
    name: "hosts",
    include: ["test/hosts/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
