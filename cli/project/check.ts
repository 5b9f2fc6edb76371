import { nameFile } from "../../client/index.ts";
import { printJson, writeOut } from "../output.ts";
import { needProject } from "./need-project.ts";
import { warnOf } from "./warn.ts";

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** `thaw project check`: what the file has, when it is sound. @throws ThawError `usage` with every mistake. */
export async function check(flags: { file?: string; json?: boolean }): Promise<void> {
  const project = await needProject(flags.file);
  const { file, warnings } = project;
  const runs = Object.keys(project.content.runs);
  const templates = Object.keys(project.content.templates);
  if (flags.json === true) {
    printJson({ file, runs, templates, warnings });
    return;
  }
  warnOf(project);
  writeOut(`${nameFile(file)}: ${count(runs.length, "run")}, ${count(templates.length, "template")}\n`);
}
