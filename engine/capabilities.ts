/** What a request needs of its runner: refused before any side effect, all that is missing at once. */
import type { Capabilities, Runner } from "../runners/runner.ts";
import { EngineError } from "./errors.ts";

const NAMES: Record<keyof Capabilities, string> = {
  memorySnapshots: "snapshots of memory",
  liveFreeze: "freezing a machine that goes on",
  pause: "pausing",
  pty: "terminals",
  diskGrowth: "limits of disks that grow",
};

/** Throws `unsupported`. @param needed by capability, whether this request needs it */
export function needCapabilities(
  { name, capabilities }: Pick<Runner, "name" | "capabilities">,
  what: string,
  needed: Partial<Record<keyof Capabilities, boolean>>,
): void {
  const missing = (Object.keys(NAMES) as (keyof Capabilities)[])
    .filter((key) => needed[key] === true && !capabilities[key])
    .map((key) => NAMES[key]);
  if (missing.length === 0) return;
  throw new EngineError(
    "unsupported",
    `can't ${what}: runner ${name} does not support ${missing.join(", ")}`,
    {
      hint: "thaw doctor",
    },
  );
}
