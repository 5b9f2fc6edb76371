import { type NetworkFlags, readNetwork } from "../arguments/network.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";
import { formatNetwork } from "./show.ts";

/** `thaw network set`. */
export async function set(name: string, flags: NetworkFlags & { json?: boolean }): Promise<void> {
  const { network = [] } = readNetwork(flags);
  const state = await withClient((client) => client.sandboxes.at(name).network.set(network));
  if (flags.json === true) printJson(state);
  else writeOut(formatNetwork(state));
}
