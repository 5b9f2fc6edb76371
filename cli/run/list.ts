import { commandOf, type Project } from "../../client/index.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";
import { needProject } from "../project/need-project.ts";

/** A run of the project file, as it is listed. */
export interface ListedRun {
  name: string;
  description: string;
  /** A program and its arguments; null: to be given behind `--`. */
  command: string[] | null;
}

const MAX_COMMAND_SHOWN = 60;

export function listRuns(project: Project): ListedRun[] {
  return Object.entries(project.content.runs).map(([name, run]) => ({
    name,
    description: run.description ?? "",
    command: commandOf(run) ?? null,
  }));
}

/** On one line, and not too long; text for a shell as it was written. */
function showCommand(command: readonly string[] | null): string {
  const words = command?.[0] === "sh" && command[1] === "-e" ? command.slice(3) : (command ?? []);
  const text = words
    .join(" ")
    .trim()
    .replaceAll(/\s*\n\s*/g, "; ");
  return text.length <= MAX_COMMAND_SHOWN ? text : `${text.slice(0, MAX_COMMAND_SHOWN - 1)}…`;
}

/** The table of runs. */
export function formatRuns(runs: readonly ListedRun[]): string {
  if (runs.length === 0) return "no runs\n";
  return formatTable(
    ["RUN", "COMMAND", "DESCRIPTION"],
    runs.map(({ name, command, description }) => [name, showCommand(command), description]),
  );
}

/** `thaw run --list`. @throws ThawError `usage` without a project file. */
export async function list(flags: { file?: string; json?: boolean }): Promise<void> {
  const project = await needProject(flags.file);
  const runs = listRuns(project);
  if (flags.json === true) printJson(runs);
  else writeOut(formatRuns(runs));
}
