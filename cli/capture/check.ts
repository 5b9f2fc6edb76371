import type { CaptureCheck } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

const means = {
  memory: "it goes on where it stopped",
  disk: "its disk is booted",
  files: "its files can be read",
} as const;

/** What can be made of it here, level by level. */
export function formatCheck({ capture, levels, best }: CaptureCheck): string {
  const pairs = levels.map(({ level, ok, reasons, bytes }): [string, string] => [
    level,
    ok ? `yes   ${means[level]}; ${formatSize(bytes)} to open` : `no    ${reasons.join("; ")}`,
  ]);
  const verdict =
    best === null ? "can't be replayed here\n" : `best here: ${best}   thaw replay ${capture}\n`;
  return `${formatPairs(pairs)}${verdict}`;
}

/** `thaw capture check`. @returns 1 when it can't be replayed here. */
export async function check(reference: string, flags: { json?: boolean }): Promise<number> {
  const report = await withClient((client) => client.checkCapture(reference));
  if (flags.json === true) printJson(report);
  else writeOut(formatCheck(report));
  return report.best === null ? 1 : 0;
}
