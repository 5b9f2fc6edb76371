import type { Snapshot, SnapshotPackages } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { describePackages } from "../format/packages.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs, formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

function formatSnapshot(snapshot: Snapshot, packages: SnapshotPackages["packages"]): string {
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
    ["packages", describePackages(snapshot.packages)],
    ["sandboxes", snapshot.usedBy.join(", ")],
    ["thaws here", snapshot.incompatible.length === 0 ? "yes" : `no: ${snapshot.incompatible.join("; ")}`],
  ];
  const parts = snapshot.parts.map((part) => [
    part.name,
    formatSize(part.sizeBytes),
    formatSize(part.storedBytes),
    part.sha256.slice(0, 16),
  ]);
  const tables = [formatTable(["PART", "SIZE", "STORED", "SHA256"], parts)];
  const outdated = packages.filter(({ newer }) => newer !== null);
  if (outdated.length > 0) {
    const rows = outdated.map(({ name, version, newer }) => [name, version, newer ?? ""]);
    tables.push(formatTable(["OUTDATED PACKAGE", "VERSION", "NEWER"], rows));
  }
  return [formatPairs(pairs), ...tables].join("\n");
}

/** `thaw snapshot inspect`. */
export async function inspect(reference: string, flags: { json?: boolean }): Promise<void> {
  const json = flags.json === true;
  const { snapshot, packages } = await withClient(async (client) => {
    const snapshot = await client.snapshots.get(reference);
    const hasOutdated = (snapshot.packages?.outdated ?? 0) > 0;
    return {
      snapshot,
      packages: hasOutdated && !json ? (await client.snapshots.packages(snapshot.id)).packages : [],
    };
  });
  if (json) printJson(snapshot);
  else writeOut(formatSnapshot(snapshot, packages));
}
