/** What a request needs of its runner: refused before any side effect, all that is missing at once. */
import type { Capabilities, Runner } from "../runners/runner.ts";
import type { Runners } from "../runners/runners.ts";
import { EngineError } from "./errors.ts";

const NAMES: Record<keyof Capabilities, string> = {
  memorySnapshots: "snapshots of memory",
  liveFreeze: "freezing a machine that goes on",
  pause: "pausing",
  pty: "terminals",
  diskGrowth: "limits of disks that grow",
  ownDisk: "disks that are used without their memory",
  caches: "cached folders",
  egress: "connections out of a sandbox",
  travel: "machines that another host has frozen",
  ownKernel: "a kernel of the machine's own",
  ownUser: "a user of the host for each machine",
};

type Needed = Partial<Record<keyof Capabilities, boolean>>;

/** Throws `unsupported`. @param needed by capability, whether this request needs it @param others runners that may be able to */
export function needCapabilities(
  { name, capabilities }: Pick<Runner, "name" | "capabilities">,
  what: string,
  needed: Needed,
  others?: Pick<Runners, "names" | "of">,
): void {
  const missing = missingOf(capabilities, needed);
  if (missing.length === 0) return;
  const able = others?.names.filter((one) => missingOf(others.of(one).capabilities, needed).length === 0);
  const lacks = missing.map((key) => NAMES[key]).join(", ");
  throw new EngineError("unsupported", `can't ${what}: runner ${name} does not support ${lacks}`, {
    hint: able?.length ? `--runner ${able[0]}` : "thaw doctor",
  });
}

function missingOf(capabilities: Capabilities, needed: Needed): (keyof Capabilities)[] {
  return (Object.keys(NAMES) as (keyof Capabilities)[]).filter(
    (key) => needed[key] === true && !capabilities[key],
  );
}
