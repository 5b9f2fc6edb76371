import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw daemon start`: asking it anything starts it. */
export async function start(flags: { json?: boolean; previewListen?: string }): Promise<void> {
  const { json = false, previewListen } = flags;
  if (previewListen !== undefined) {
    const running = await withClient((client) => client.host.info(), { autostart: false }).catch(() => null);
    if (running !== null)
      throw new ThawError("conflict", `a daemon runs already: process ${running.pid}`, {
        hint: "to restart it: thaw daemon stop, then thaw daemon start; its machines keep running",
      });
    process.env.THAW_PREVIEW_LISTEN = previewListen;
  }
  const info = await withClient((client) => client.host.info());
  if (json) printJson(info);
  else writeOut(`running: process ${info.pid}, thaw ${info.version}, state in ${info.home}\n`);
}
