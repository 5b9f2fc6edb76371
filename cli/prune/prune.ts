import type { PruneReport } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";

/** Flags of `thaw prune`. */
export interface PruneFlags {
  dryRun?: boolean;
  json?: boolean;
}

/** What went or would go, and how much that is. */
export function formatPruned({
  dryRun,
  captures,
  snapshots,
  compressed,
  caches,
  steps,
  rootfs,
}: PruneReport): string {
  const all = [
    ...captures.map((one) => ({ kind: "capture", ...one })),
    ...snapshots.map((one) => ({ kind: "snapshot", ...one })),
    ...compressed.map((one) => ({ kind: "compressed", ...one })),
    ...caches.map((one) => ({ kind: "cache", ...one })),
    ...steps.map((one) => ({ kind: "step", ...one })),
    ...rootfs.map((one) => ({ kind: "rootfs", ...one })),
  ];
  if (all.length === 0) return "nothing to remove\n";
  const rows = all.map(({ kind, id, bytes, reason }) => [kind, id, formatSize(bytes), reason]);
  const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
  const words = dryRun ? "would be freed: thaw prune" : "freed";
  return `${formatTable(["KIND", "ID", "SIZE", "WHY"], rows)}${formatSize(bytes)} ${words}\n`;
}

/** `thaw prune`. */
export async function prune(flags: PruneFlags): Promise<void> {
  const report = await withClient((client) => client.host.prune({ dryRun: flags.dryRun === true }));
  if (report.unreadable.length > 0) {
    const named = cleanText(report.unreadable.join(", "));
    writeErr(
      `${styleErr("yellow", "thaw:")} these can't be read, so nothing that they may need is removed: ${named}\nhint: thaw quarantine ls\n`,
    );
  }
  if (flags.json === true) printJson(report);
  else writeOut(formatPruned(report));
}
