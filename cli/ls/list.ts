import type { Sandbox } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

const header = ["NAME", "STATE", "FROM", "ISOLATION", "CPUS", "MEMORY", "CREATED", "ID"];

function describeState(sandbox: Sandbox): string {
  return sandbox.reason === null ? sandbox.state : `${sandbox.state}: ${sandbox.reason.slice(0, 60)}`;
}

/** The table of sandboxes. */
export function formatSandboxes(sandboxes: readonly Sandbox[], nowMs?: number): string {
  const rows = sandboxes.map((sandbox) => [
    sandbox.name,
    describeState(sandbox),
    sandbox.from,
    sandbox.isolation,
    String(sandbox.resources.cpus),
    formatSize(sandbox.resources.memoryMib * 2 ** 20),
    formatAge(sandbox.createdAt, nowMs),
    sandbox.id,
  ]);
  return formatTable(header, rows);
}

/** `thaw ls`. */
export async function list(flags: { json?: boolean }): Promise<void> {
  const sandboxes = await withClient((client) => client.listSandboxes());
  if (flags.json === true) printJson(sandboxes);
  else writeOut(formatSandboxes(sandboxes));
}
