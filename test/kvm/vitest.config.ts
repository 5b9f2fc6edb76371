import { defineConfig } from "vitest/config";

/** Tests in an emulated machine: everything takes many times as long as on this host. */
export default defineConfig({
  test: {
    name: "kvm",
    include: ["test/kvm/**/*.test.ts"],
    globalSetup: ["test/machines.ts"],
    maxWorkers: 1,
    // Each step needs those before it.
    bail: 1,
    testTimeout: 1_800_000,
    hookTimeout: 900_000,
  },
});
