import type { Snapshot } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs, formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

function formatSnapshot(snapshot: Snapshot): string {
  const { resources, needs, defaults } = snapshot;
  const pairs: [string, string][] = [
    ["id", snapshot.id],
    ["tags", snapshot.tags.join(", ")],
    ["template", snapshot.template ?? ""],
    ["created", `${formatAge(snapshot.createdAt)} (${snapshot.createdAt})`],
    ["cpus", String(resources.cpus)],
    ["memory", formatSize(resources.memoryMib * 2 ** 20)],
    ["disk", formatSize(resources.diskMib * 2 ** 20)],
    ["stored", formatSize(snapshot.storedBytes)],
    ["runs as", `${defaults.user} in ${defaults.workdir}`],
    ["needs", `${needs.runner} ${needs.build}, ${needs.accelerator}, ${needs.machine}, cpu ${needs.cpu}`],
    ["kernel", needs.kernel],
    ["sandboxes", snapshot.usedBy.join(", ")],
    ["thaws here", snapshot.incompatible.length === 0 ? "yes" : `no: ${snapshot.incompatible.join("; ")}`],
  ];
  const parts = snapshot.parts.map((part) => [
    part.name,
    formatSize(part.sizeBytes),
    formatSize(part.storedBytes),
    part.sha256.slice(0, 16),
  ]);
  return `${formatPairs(pairs)}\n${formatTable(["PART", "SIZE", "STORED", "SHA256"], parts)}`;
}

/** `thaw snapshot inspect`. */
export async function inspect(reference: string, flags: { json?: boolean }): Promise<void> {
  const snapshot = await withClient((client) => client.snapshots.get(reference));
  if (flags.json === true) printJson(snapshot);
  else writeOut(formatSnapshot(snapshot));
}
