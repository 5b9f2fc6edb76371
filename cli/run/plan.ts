import type { RunRequest } from "../../client/index.ts";
import { workspacePath } from "../../client/workspace-path.ts";
import { readSource, type SourceFlags } from "../arguments/source.ts";
import { readTimers, type TimerFlags } from "../arguments/timers.ts";
import { type ExecFlags, planExec } from "../exec-io/flags.ts";

/** Flags of `thaw run`. */
export interface RunFlags extends ExecFlags, SourceFlags, TimerFlags {
  label?: Record<string, string>;
  workspace?: string;
  ignore?: boolean;
  cpus?: number;
  /** MiB. */
  memory?: number;
  name?: string;
  keep?: boolean;
  verbose?: boolean;
}

/** The request for a run with these flags. @throws ThawError `usage` when a template's file can't be read. */
export function planRun(argv: readonly string[], flags: RunFlags): RunRequest {
  const exec = planExec(argv, flags);
  const inWorkspace = flags.workspace !== undefined && exec.cwd === undefined;
  return {
    create: {
      source: readSource(flags),
      ...readTimers(flags),
      ...(flags.label === undefined ? {} : { labels: flags.label }),
      ...(flags.name === undefined ? {} : { name: flags.name }),
      ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
      ...(flags.memory === undefined ? {} : { memoryMib: flags.memory }),
    },
    exec: inWorkspace ? { ...exec, cwd: workspacePath } : exec,
    hold: flags.workspace !== undefined,
    keep: flags.keep === true,
  };
}
