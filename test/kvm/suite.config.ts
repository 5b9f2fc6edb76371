import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** The conformance suite in the emulated machine, where everything takes many times as long. */
export default defineConfig({
  root: join(import.meta.dirname, "../.."),
  test: {
    name: "conformance under KVM",
    include: ["test/conformance/runner.test.ts", "test/conformance/qemu/jail.test.ts"],
    globalSetup: ["test/machines.ts"],
    maxWorkers: 1,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
  },
});
