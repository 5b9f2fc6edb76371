import type { MachineStats, NetworkState, SandboxInfo, Thaw } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

const SPAN_MS = 1000;

type NetworkTotals = NetworkState["totals"];

interface Reading {
  atMs: number;
  stats: MachineStats;
}

/** One sandbox's figures. */
export interface SandboxStats extends MachineStats {
  id: string;
  name: string;
  state: string;
  /** Of one processor. */
  cpuPercent: number;
  memoryMib: number;
  /** What it reached, what it was kept from, and bytes from the guest and to it. */
  network: NetworkTotals;
}

async function read(client: Thaw, { id }: SandboxInfo): Promise<Reading | null> {
  // one that ends meanwhile is left out
  const stats = await client.sandboxes
    .at(id)
    .stats()
    .catch(() => null);
  return stats === null ? null : { atMs: performance.now(), stats };
}

async function measure(client: Thaw, named: readonly string[]): Promise<SandboxStats[]> {
  const chosen =
    named.length === 0
      ? (await client.sandboxes.list()).filter(
          ({ info }) => info.state === "running" || info.state === "paused",
        )
      : await Promise.all(named.map((name) => client.sandboxes.get(name)));
  // what can't be measured is refused by name
  if (named.length > 0) for (const { id } of chosen) await client.sandboxes.at(id).stats();
  const infos = chosen.map(({ info }) => info);
  const before = await Promise.all(infos.map((sandbox) => read(client, sandbox)));
  await new Promise((resolve) => setTimeout(resolve, chosen.length === 0 ? 0 : SPAN_MS));
  const [after, networks] = await Promise.all([
    Promise.all(infos.map((sandbox) => read(client, sandbox))),
    Promise.all(
      infos.map(({ id }) =>
        client.sandboxes
          .at(id)
          .network.state()
          .catch(() => null),
      ),
    ),
  ]);
  return infos.flatMap(({ id, name, state, resources }, index) => {
    const [first, second] = [before[index], after[index]];
    const network = networks[index]?.totals;
    if (!first || !second || !network) return [];
    const cpuPercent = (100 * (second.stats.cpuMs - first.stats.cpuMs)) / (second.atMs - first.atMs);
    return [{ id, name, state, ...second.stats, cpuPercent, memoryMib: resources.memoryMib, network }];
  });
}

/** `thaw stats`. */
export async function stats(named: readonly string[], flags: { json?: boolean }): Promise<void> {
  const rows = await withClient((client) => measure(client, named));
  if (flags.json === true) return printJson(rows);
  const cells = rows.map((row) => [
    row.name,
    row.state,
    `${row.cpuPercent.toFixed(0)}%`,
    `${formatSize(row.pssBytes)} of ${formatSize(row.memoryMib * 2 ** 20)}`,
    formatSize(row.rssBytes),
    `${(row.cpuMs / 1000).toFixed(1)}s`,
    `${formatSize(row.network.sent)} / ${formatSize(row.network.received)}`,
    String(row.network.denied),
  ]);
  writeOut(
    formatTable(
      ["NAME", "STATE", "CPU", "MEMORY", "RSS", "CPU TIME", "NET SENT / RECEIVED", "DENIED"],
      cells,
    ),
  );
}
