import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw info`: the daemon, and how much there is of what. */
export async function info(flags: { json?: boolean }): Promise<void> {
  const [daemon, sandboxes, snapshots, { captures }] = await withClient((client) =>
    Promise.all([
      client.host.info(),
      client.sandboxes.list(),
      client.snapshots.list(),
      client.captures.list(),
    ]),
  );
  const states: Record<string, number> = {};
  for (const { info } of sandboxes) states[info.state] = (states[info.state] ?? 0) + 1;
  if (flags.json === true)
    return printJson({ daemon, sandboxes: states, snapshots: snapshots.length, captures: captures.length });
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
    ]),
  );
}
