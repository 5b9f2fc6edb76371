import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw daemon start`: asking it anything starts it. */
export async function start(flags: { json?: boolean }): Promise<void> {
  const info = await withClient((client) => client.host.info());
  if (flags.json === true) printJson(info);
  else writeOut(`running: process ${info.pid}, thaw ${info.version}, state in ${info.home}\n`);
}
