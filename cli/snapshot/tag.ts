import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw snapshot tag`. */
export async function tagSnapshot(reference: string, tag: string, flags: { json?: boolean }): Promise<void> {
  const snapshot = await withClient((client) => client.snapshots.tag(reference, tag));
  if (flags.json === true) printJson(snapshot);
  else writeOut(`${tag}\n`);
}
