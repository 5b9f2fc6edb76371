import { formatNext } from "../../api/next.ts";
import type { SandboxInfo, Thaw } from "../../client/index.ts";
import { type Filters, passes } from "../arguments/filter.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { formatTemplate } from "../format/template.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";

const HEADER = ["NAME", "STATE", "FROM", "ISOLATION", "CPUS", "MEMORY", "CREATED", "NEXT", "ID"];

function describeState(sandbox: SandboxInfo, whole: boolean): string {
  if (sandbox.frozen) return "stopped (frozen)";
  return sandbox.reason === null
    ? sandbox.state
    : `${sandbox.state}: ${whole ? sandbox.reason : sandbox.reason.slice(0, 60)}`;
}

/** HOST:GUEST, with the host's address where it is not the loopback; then what listens and no forward leads to. */
function formatPorts({ ports, listening }: SandboxInfo): string {
  const forwarded = ports.map(
    ({ address, port, path, guest }) => `${address === null ? "" : `${address}:`}${port ?? path}:${guest}`,
  );
  const others = listening.filter((port) => !ports.some(({ guest }) => guest === port));
  return [...forwarded, ...others].join(", ");
}

/** The table of sandboxes; of several hosts, where one names its context. */
export function formatSandboxes(
  sandboxes: readonly (SandboxInfo & { context?: string })[],
  { nowMs, whole = false }: { nowMs?: number; whole?: boolean } = {},
): string {
  const everywhere = sandboxes.some(({ context }) => context !== undefined);
  const forwarded = sandboxes.some((sandbox) => formatPorts(sandbox) !== "");
  const rows = sandboxes.map((sandbox) => [
    ...(everywhere ? [sandbox.context ?? ""] : []),
    sandbox.name,
    describeState(sandbox, whole),
    sandbox.from,
    sandbox.isolation,
    String(sandbox.resources.cpus),
    formatSize(sandbox.resources.memoryMib * 2 ** 20),
    formatAge(sandbox.createdAt, nowMs),
    formatNext(sandbox.next, nowMs),
    ...(forwarded ? [formatPorts(sandbox)] : []),
    sandbox.id,
  ]);
  const titles = forwarded ? [...HEADER.slice(0, -1), "PORTS", ...HEADER.slice(-1)] : HEADER;
  return formatTable(everywhere ? ["CONTEXT", ...titles] : titles, rows);
}

export interface ListFlags {
  label?: readonly string[];
  filter?: Filters;
  format?: string;
  quiet?: boolean;
  /** false: long cells are not cut. */
  trunc?: boolean;
  json?: boolean;
  allContexts?: boolean;
}

/** What is printed of those that pass the filters. */
export function showSandboxes(
  sandboxes: readonly (SandboxInfo & { context?: string })[],
  { quiet, format, trunc }: ListFlags,
): string {
  const lines = (of: (sandbox: SandboxInfo) => string): string =>
    sandboxes.map((sandbox) => `${of(sandbox)}\n`).join("");
  if (quiet === true) return lines(({ id }) => id);
  if (format !== undefined) return lines((sandbox) => formatTemplate(format, sandbox));
  return formatSandboxes(sandboxes, { whole: trunc === false });
}

/** The sandboxes of a host that the flags choose. */
export async function chooseSandboxes(
  client: Thaw,
  { label, filter = [] }: ListFlags,
  signal?: AbortSignal,
): Promise<SandboxInfo[]> {
  const sandboxes = await client.sandboxes.list({ labels: label, signal });
  return sandboxes.map(({ info }) => info).filter((one) => passes(one, filter));
}

/** `thaw ls`. */
export async function list(flags: ListFlags): Promise<void> {
  const [sandboxes, quarantined] = await withClient((client) =>
    Promise.all([
      chooseSandboxes(client, flags),
      // The list does not fail for it.
      client.quarantine.list().catch(() => []),
    ]),
  );
  if (flags.json === true) printJson(sandboxes);
  else writeOut(showSandboxes(sandboxes, flags));
  for (const { kind, what, from, reason } of quarantined)
    writeErr(`${styleErr("yellow", "thaw:")} ${cleanText(`${kind} ${what} is kept: ${from} ${reason}`)}\n`);
  if (quarantined.length > 0) writeErr("hint: thaw quarantine ls\n");
}
