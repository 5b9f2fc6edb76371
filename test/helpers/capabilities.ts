/** What the runner of this run can do: a test that needs more is skipped by it. Nothing of the host is asked. */
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import { runnerName } from "./runner.ts";

const nowhere = { home: "/nonexistent", runtimeRoot: "/nonexistent", agentPath: "/nonexistent" };

export const { capabilities } =
  runnerName === "gvisor"
    ? createGvisorRunner({ ...nowhere, keeperPath: "/nonexistent" })
    : createQemuRunner({ ...nowhere, sealPath: "/nonexistent" });
