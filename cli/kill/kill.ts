import type { ExecInfo } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { findExec } from "../exec-io/find-exec.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw kill`: sends a signal to an exec and prints its id. */
export async function kill(
  sandbox: string,
  reference: string | undefined,
  flags: { signal: string; json?: boolean },
): Promise<void> {
  const exec = await withClient(async (client) => {
    const { info } = await client.sandboxes.get(sandbox);
    const wanted = ({ state }: ExecInfo): boolean => state === "starting" || state === "running";
    const found = findExec(info, reference, { wanted, what: "exec that runs" });
    const to = flags.signal === "KILL" || flags.signal === "9" ? "tree" : "group";
    await client.sandboxes.at(info.id).execAt(found.id).signal(flags.signal, { to });
    return found;
  });
  if (flags.json === true) printJson(exec);
  else writeOut(`${exec.id}\n`);
}
