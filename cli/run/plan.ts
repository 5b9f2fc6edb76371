import { defined } from "../../api/defined.ts";
import { buildRunRequest, type RunRequest, type RunSettings, readCiContext } from "../../client/index.ts";

import { type ForwardFlags, readForwards } from "../arguments/forward.ts";
import { type NetworkFlags, readNetwork } from "../arguments/network.ts";
import { readSource, type SourceFlags } from "../arguments/source.ts";
import { readTimers, type TimerFlags } from "../arguments/timers.ts";
import { type ExecFlags, planMask, readEnv } from "../exec-io/flags.ts";
import { readTerminalSize } from "../exec-io/terminal.ts";

/** Flags of `thaw run`. */
export interface RunFlags extends ExecFlags, SourceFlags, TimerFlags, NetworkFlags, ForwardFlags {
  label?: Record<string, string>;
  workspace?: string;
  ignore?: boolean;
  cpus?: number;
  /** MiB. */
  memory?: number;
  name?: string;
  keep?: boolean;
  verbose?: boolean;
  list?: boolean;
  detach?: boolean;
  rm?: boolean;
}

/** What is to be run: a run of the project file by its name, a command, or a run with another command. */
export interface RunWords {
  run?: string | undefined;
  command?: readonly string[] | undefined;
}

/** What is run, and how. */
export interface RunPlan {
  argv: readonly string[];
  settings: RunSettings;
}

/** What the flags say, and only that. @throws ThawError `usage` when a template's file can't be read. */
async function readSettings(flags: RunFlags): Promise<RunSettings> {
  const hasSource = [flags.template, flags.snapshot, flags.runner].some((flag) => flag !== undefined);
  return {
    ...(hasSource ? { source: await readSource(flags) } : {}),
    ...readTimers(flags),
    ...readNetwork(flags),
    ...readForwards(flags),
    ...defined({
      labels: flags.label,
      name: flags.name,
      cpus: flags.cpus,
      memoryMib: flags.memory,
      env: readEnv(flags),
    }),
    ...planMask(flags),
    ...defined({
      workdir: flags.workdir,
      user: flags.user,
      timeoutMs: flags.timeout,
      capture: flags.capture,
    }),
    ...(flags.checkpoint === true ? { checkpoint: true } : {}),
    ...defined({ workspace: flags.workspace }),
    // commander says true when nothing was said
    ...(flags.ignore === false ? { ignore: false } : {}),
    ...(flags.keep === true ? { keep: true } : {}),
  };
}

/** The plan for these words and flags. Without a run's name no project file is looked for. @throws ThawError */
export async function planRun({ run, command }: RunWords, flags: RunFlags): Promise<RunPlan> {
  const settings = await readSettings(flags);
  if (run === undefined && command !== undefined) return { argv: command, settings };
  const { planNamed } = await import("./named.ts");
  return planNamed({ run, command }, { settings, file: flags.file });
}

/** The request for a plan; of the flags only those count that are about our own streams. */
export function requestRun({ argv, settings }: RunPlan, flags: ExecFlags): RunRequest {
  return buildRunRequest({
    argv,
    settings,
    stdin: flags.interactive === true,
    tty: flags.tty === true ? readTerminalSize() : undefined,
    ci: readCiContext(process.env),
  });
}
