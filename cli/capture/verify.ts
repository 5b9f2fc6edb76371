import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatVerdicts } from "../format/verdicts.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw capture verify`. @returns 0 when every part is what it was and the machine goes on, else 1. */
export async function verify(reference: string, flags: { json?: boolean }): Promise<number> {
  const report = await withClient((client) => client.captures.verify(reference));
  const { ok, parts, verified } = report;
  if (flags.json === true) {
    printJson(report);
    return ok ? 0 : 1;
  }
  writeOut(formatVerdicts(parts));
  if (!parts.every((part) => part.ok)) writeOut(` damaged: thaw capture rm ${cleanText(report.capture)}\n`);
  else if (verified?.ok === true) writeOut(` resumes in ${Math.round(verified.resumeMs)} ms\n`);
  else writeOut(` does not resume: ${cleanText(verified?.reason ?? "it was not tried")}\n`);
  return ok ? 0 : 1;
}
