/** What the parts of the gVisor runner share. */
import { join } from "node:path";
import type { KeeperTools } from "../host/keeper.ts";
import type { RunnerSettings } from "../runner.ts";
import type { RunscFacts } from "./facts.ts";

export const RUNNER_NAME = "gvisor";

export interface Context {
  /** `$THAW_HOME`. */
  home: string;
  settings(): RunnerSettings;
  agentPath: string;
  tools: KeeperTools;
  /** Rejects with `missing-tool` or `unsupported`. */
  facts(): Promise<RunscFacts>;
}

export function runtimeDirOf({ tools }: Context, { id }: { id: string }): string {
  return join(tools.runtimeRoot, id);
}
