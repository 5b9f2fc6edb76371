import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatVerdicts } from "../format/verdicts.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw snapshot verify`. @returns 0 when every part is what it was, else 1. */
export async function verify(reference: string, flags: { json?: boolean }): Promise<number> {
  const report = await withClient((client) => client.snapshots.verify(reference));
  if (flags.json === true) {
    printJson(report);
    return report.ok ? 0 : 1;
  }
  writeOut(formatVerdicts(report.parts));
  writeOut(report.ok ? " whole\n" : ` damaged: thaw snapshot rm ${cleanText(reference)}\n`);
  return report.ok ? 0 : 1;
}
