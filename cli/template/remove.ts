import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw template rm`: removes what was built of templates; stops at the first that is in use. */
export async function remove(names: readonly string[], flags: { json?: boolean }): Promise<void> {
  const removed = await withClient(async (client) => {
    const all = [];
    for (const name of names) all.push({ template: name, ...(await client.templates.remove(name)) });
    return all;
  });
  if (flags.json === true) return printJson(removed);
  for (const { template, snapshots, steps } of removed)
    writeOut(`${template}: removed ${snapshots.length} snapshots and ${steps.length} steps\n`);
}

/** `thaw template prune`: removes kept steps that no built template needs. */
export async function prune(flags: { dryRun?: boolean; json?: boolean }): Promise<void> {
  const report = await withClient((client) => client.templates.prune({ dryRun: flags.dryRun === true }));
  if (flags.json === true) return printJson(report);
  const { steps, dryRun } = report;
  if (steps.length === 0) return writeOut("nothing to remove\n");
  const bytes = steps.reduce((sum, one) => sum + one.bytes, 0);
  const rows = steps.map(({ id, bytes: size, reason }) => [id, formatSize(size), reason]);
  const words = dryRun ? "would be freed: thaw template prune" : "freed";
  writeOut(`${formatTable(["STEP", "SIZE", "WHY"], rows)}${formatSize(bytes)} ${words}\n`);
}
