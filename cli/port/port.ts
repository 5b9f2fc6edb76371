import type { PortsState } from "../../client/index.ts";
import { parseForward } from "../arguments/forward.ts";
import { withClient } from "../connect.ts";
import type { ListingFlags } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

export function formatPorts({ forwards, listening }: PortsState): string {
  const hasFaults = forwards.some(({ fault }) => fault !== null);
  const rows = forwards.map(({ address, port, path, guest, fault }) => [
    path ?? `${address ?? "127.0.0.1, ::1"}:${port}`,
    String(guest),
    ...(hasFaults ? [fault ?? ""] : []),
  ]);
  const inside = listening
    .filter(({ protocol }) => protocol.startsWith("tcp"))
    .map(({ address, port, pid }) => [String(port), address, pid === null ? "" : String(pid)]);
  return `${formatTable(["HOST", "GUEST", ...(hasFaults ? ["DOES NOT LISTEN"] : [])], rows)}\n${formatTable(["LISTENS INSIDE", "ADDRESS", "PID"], inside)}`;
}

/** `thaw port`: adds forwards, or ends one, and lists what there is. */
export async function port(
  name: string,
  forwards: readonly string[],
  flags: ListingFlags & { rm?: number | string },
): Promise<void> {
  const parsed = forwards.map(parseForward);
  const state = await withClient(async (client) => {
    const { ports } = client.sandboxes.at(name);
    if (flags.rm !== undefined) await ports.remove(flags.rm);
    for (const forward of parsed) await ports.add(forward);
    return ports.state();
  });
  if (flags.json === true) printJson(state);
  else if (flags.quiet === true)
    writeOut(state.forwards.map(({ port, path }) => `${path ?? port}\n`).join(""));
  else writeOut(formatPorts(state));
}
