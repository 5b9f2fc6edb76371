import { chooseContext, findOwnVersion, isNobodyThere } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw version`: this client's, and that of the daemon where one runs. */
export async function version(flags: { json?: boolean }): Promise<void> {
  const own = findOwnVersion();
  const client = { version: own.version, digest: own.digest, node: process.versions.node };
  const daemon = await withClient((thaw) => thaw.host.info({ anyVersion: true }), {
    autostart: false,
    context: chooseContext(),
  }).catch((error: unknown) => {
    if (isNobodyThere(error)) return null;
    throw error;
  });
  if (flags.json === true) return printJson({ client, daemon });
  writeOut(
    formatPairs([
      ["client", `${client.version} (${client.digest}), Node ${client.node}`],
      ["daemon", daemon === null ? "not running" : `${daemon.version} (${daemon.digest}) on ${daemon.host}`],
    ]),
  );
}
