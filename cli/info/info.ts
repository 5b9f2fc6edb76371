import { type HostLimits, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw info`: the daemon, and how much there is of what. */
export async function info(flags: { json?: boolean }): Promise<void> {
  const [daemon, limits, sandboxes, snapshots, { captures }] = await withClient((client) =>
    Promise.all([
      client.host.info(),
      limitsOf(client),
      client.sandboxes.list(),
      client.snapshots.list(),
      client.captures.list(),
    ]),
  );
  const states: Record<string, number> = {};
  for (const { info } of sandboxes) states[info.state] = (states[info.state] ?? 0) + 1;
  if (flags.json === true)
    return printJson({
      ...{ daemon, sandboxes: states, snapshots: snapshots.length, captures: captures.length },
      limits,
    });
  const counted = Object.entries(states).map(([state, count]) => `${count} ${state}`);
  writeOut(
    formatPairs([
      ["host", daemon.host],
      ["daemon", `${daemon.version}, process ${daemon.pid}, started ${formatAge(daemon.startedAt)}`],
      ["state", daemon.home],
      ["memory", `${formatSize(daemon.rssBytes)} of the daemon`],
      ["sandboxes", counted.length === 0 ? "none" : counted.join(", ")],
      ["snapshots", String(snapshots.length)],
      ["captures", String(captures.length)],
      ["limits", limits === null ? "" : describeLimits(limits)],
    ]),
  );
}

/** Null: the daemon is of an older version, and does not tell them. */
async function limitsOf(client: Thaw): Promise<HostLimits | null> {
  try {
    return await client.host.limits();
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return null;
    throw error;
  }
}

function describeLimits({ sandboxes, memory, sandbox }: HostLimits): string {
  const size = (mib: number): string => formatSize(mib * 2 ** 20);
  return [
    `${sandboxes.most} sandboxes`,
    `${size(memory.mostMib)} memory (room for ${size(memory.roomMib)} more)`,
    `each ${sandbox.cpus} cpus, ${size(sandbox.memoryMib)}`,
  ].join(", ");
}
