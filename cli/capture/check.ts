import { type CaptureCheck, isStoreReference } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";
import type { StoreCheck } from "../travel/check.ts";
import type { ReadFlags } from "../travel/flags.ts";

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

/** The same of one in a store. */
export function formatStoreCheck(report: StoreCheck, reference: string): string {
  const lines = formatCheck(report).replace(`thaw replay ${report.capture}`, `thaw replay ${reference}`);
  const full =
    report.full === null
      ? ""
      : `whole its memory would resume here: where it was taken, thaw capture push ${report.capture} --full …\n`;
  const fetched =
    report.downloadBytes === 0 ? "all of it is here\n" : `to download: ${formatSize(report.downloadBytes)}\n`;
  const elsewhere = report.resumesIn
    .map(
      (context) =>
        `as it was: thaw --context ${context} replay ${reference}   (${context} can resume memory)\n`,
    )
    .join("");
  return `${lines}${elsewhere}${full}${fetched}`;
}

/** `thaw capture check`. @returns 1 when it can't be replayed here. */
export async function check(reference: string, flags: ReadFlags & { json?: boolean }): Promise<number> {
  if (isStoreReference(reference)) {
    const { checkInStore } = await import("../travel/check.ts");
    const report = await checkInStore(reference, flags);
    if (flags.json === true) printJson(report);
    else writeOut(formatStoreCheck(report, reference));
    return report.best === null ? 1 : 0;
  }
  const report = await withClient((client) => client.captures.check(reference));
  if (flags.json === true) printJson(report);
  else writeOut(formatCheck(report));
  return report.best === null ? 1 : 0;
}
