import type { DiskUse } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";

/** Flags of `thaw df`. */
export interface DfFlags {
  verbose?: boolean;
  json?: boolean;
}

type Kind = DiskUse["kinds"][number]["kind"];

const LABELS: Partial<Record<Kind, string>> = {
  steps: "steps of templates",
  rootfs: "root file systems",
  compressed: "compressed parts",
  versions: "installed versions",
};
/** Kinds whose entries are listed, and the word for one. */
const LISTED: readonly [kind: Kind, one: string][] = [
  ["snapshots", "snapshot"],
  ["captures", "capture"],
  ["caches", "cache"],
  ["sandboxes", "sandbox"],
  ["steps", "step"],
];

function formatPrunable(bytes: number | null): string {
  return bytes === null ? "unknown" : formatSize(bytes);
}

/** A row for each kind that there is, their sum, and the disk. */
export function formatDisk({ home, disk, bytes, prunableBytes, kinds }: DiskUse): string {
  const rows = kinds
    .filter((kind) => kind.count > 0 || kind.bytes > 0)
    .map((one) => [
      LABELS[one.kind] ?? one.kind,
      String(one.count),
      formatSize(one.bytes),
      formatPrunable(one.prunableBytes),
    ]);
  const all = ["all", "", formatSize(bytes), formatPrunable(prunableBytes)];
  const { totalBytes, freeBytes, reserveBytes } = disk;
  const free = `${formatSize(freeBytes)} of ${formatSize(totalBytes)} are free on the disk of ${cleanText(home)}`;
  return `${formatTable(["KIND", "COUNT", "SIZE", "PRUNE FREES"], [...rows, all])}${free}; ${formatSize(reserveBytes)} are reserved\n`;
}

/** Each snapshot, capture, cache and sandbox, the largest of a kind first. */
export function formatEntries({ kinds }: Pick<DiskUse, "kinds">): string {
  const rows = LISTED.flatMap(([kind, one]) =>
    kinds
      .filter((found) => found.kind === kind)
      .flatMap(({ entries }) => entries)
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ id, name, bytes, freesBytes }) => [
        ...[one, id, name ?? "", formatSize(bytes), formatSize(freesBytes)],
      ]),
  );
  return rows.length === 0 ? "" : `\n${formatTable(["KIND", "ID", "NAME", "SIZE", "FREES"], rows)}`;
}

/** `thaw df`. */
export async function df(flags: DfFlags): Promise<void> {
  const use = await withClient((client) => client.host.disk());
  if (use.notCounted.length > 0) {
    const named = use.notCounted.map(({ path, reason }) => `${path} (${reason})`).join(", ");
    writeErr(`${styleErr("yellow", "thaw:")} these are not counted: ${cleanText(named)}\n`);
  }
  if (flags.json === true) return printJson(use);
  if (use.prunableBytes === null)
    writeErr(
      `${styleErr("yellow", "thaw:")} what prune would free is not known\nhint: thaw prune --dry-run\n`,
    );
  writeOut(formatDisk(use) + (flags.verbose === true ? formatEntries(use) : ""));
}
