import type { PortsState } from "../../client/index.ts";
import { parseForward } from "../arguments/forward.ts";
import { withClient } from "../connect.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

export function formatPorts({ forwards, listening }: PortsState): string {
  const rows = forwards.map(({ address, port, guest }) => [
    `${address ?? "127.0.0.1, ::1"}:${port}`,
    String(guest),
  ]);
  const inside = listening
    .filter(({ protocol }) => protocol.startsWith("tcp"))
    .map(({ address, port, pid }) => [String(port), address, pid === null ? "" : String(pid)]);
  return `${formatTable(["HOST", "GUEST"], rows)}\n${formatTable(["LISTENS INSIDE", "ADDRESS", "PROCESS"], inside)}`;
}

/** `thaw port`: adds forwards, or ends one, and lists what there is. */
export async function port(
  name: string,
  forwards: readonly string[],
  flags: { rm?: number; json?: boolean },
): Promise<void> {
  const parsed = forwards.map(parseForward);
  const state = await withClient(async (client) => {
    const { ports } = client.sandboxes.at(name);
    if (flags.rm !== undefined) await ports.remove(flags.rm);
    for (const forward of parsed) await ports.add(forward);
    return ports.state();
  });
  if (flags.json === true) printJson(state);
  else writeOut(formatPorts(state));
}
