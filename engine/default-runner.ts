/** Which runner makes machines where nobody asked for one, and whether it may. */
import type { Runner } from "../runners/runner.ts";
import type { Config } from "./config.ts";
import { EngineError } from "./errors.ts";

export type RunnerChoice = Pick<Config["runner"], "default" | "withoutKvm">;

/** @param chosen the runner that is taken where the configuration names none */
export async function defaultRunner(
  { default: name, withoutKvm }: RunnerChoice,
  chosen: Pick<Runner, "name" | "emulation">,
): Promise<string> {
  if (name !== undefined && name !== chosen.name) return name;
  return withoutKvm === "gvisor" && (await chosen.emulation()) !== null ? "gvisor" : chosen.name;
}

/** Throws `host-not-ready` when the runner's machines are emulated and the configuration wants none of those. */
export async function refuseEmulation(
  { withoutKvm }: RunnerChoice,
  runner: Pick<Runner, "name" | "emulation">,
): Promise<void> {
  const why = withoutKvm === "refuse" ? await runner.emulation() : null;
  if (why === null) return;
  throw new EngineError(
    "host-not-ready",
    `runner ${runner.name} would emulate the machine, and runner.withoutKvm is refuse: ${why}`,
    { hint: "--runner gvisor; or set runner.withoutKvm to emulated or gvisor in config.yaml" },
  );
}
