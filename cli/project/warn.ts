import type { Project } from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

/** Says what the project file's author should know. */
export function warnOf(project: Project): void {
  for (const warning of project.warnings) writeErr(`${styleErr("yellow", "thaw:")} ${cleanText(warning)}\n`);
}
