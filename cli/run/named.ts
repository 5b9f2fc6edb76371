import { defined } from "../../api/defined.ts";
import {
  loadProject,
  nameFile,
  type Project,
  planProjectRun,
  type RunSettings,
  ThawError,
} from "../../client/index.ts";
import { warnOf } from "../project/warn.ts";
import { formatRuns, listRuns } from "./list.ts";
import type { RunPlan, RunWords } from "./plan.ts";

function refuseNothing(project: Project | undefined): ThawError {
  const command = "a command goes behind --, as in: thaw run -- uname -a";
  if (project === undefined) return new ThawError("usage", "there is nothing to run", { hint: command });
  return new ThawError("usage", `which run of ${nameFile(project.file)}?`, {
    details: formatRuns(listRuns(project)).trimEnd().split("\n"),
    hint: `thaw run NAME; ${command}`,
  });
}

/** The plan of a run of the project file. @throws ThawError `usage` with the runs there are when none is named. */
export async function planNamed(
  { run, command }: RunWords,
  options: { settings: RunSettings; file: string | undefined },
): Promise<RunPlan> {
  const project = await loadProject({ file: options.file });
  if (run === undefined) throw refuseNothing(project);
  if (project === undefined) {
    throw new ThawError("usage", `no thaw.yaml here, so there is no run ${run}`, {
      hint: `put a command after --, as in: thaw run -- ${run}`,
    });
  }
  warnOf(project);
  return planProjectRun(project, run, {
    over: options.settings,
    ...defined({ command }),
  });
}
