import { formatUntil } from "../../api/next.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw extend`: says when the sandbox ends now. */
export async function extend(name: string, byMs: number, flags: { json?: boolean }): Promise<void> {
  const sandbox = await withClient((client) => client.sandboxes.at(name).extend(byMs));
  if (flags.json === true) printJson(sandbox);
  else writeOut(`${sandbox.name} ends in ${formatUntil(sandbox.expiresAt ?? "")}\n`);
}
