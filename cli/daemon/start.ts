import { resolve } from "node:path";
import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

export interface StartFlags {
  previewListen?: string;
  listen?: string;
  tlsCert?: string;
  tlsKey?: string;
  json?: boolean;
}

/** `thaw daemon start`: asking it anything starts it. */
export async function start({ json = false, ...flags }: StartFlags): Promise<void> {
  const { previewListen, listen, tlsCert, tlsKey } = flags;
  if ((tlsCert ?? tlsKey) !== undefined && listen === undefined)
    throw new ThawError("usage", "--tls-cert and --tls-key belong to --listen", {
      hint: "--listen ADDRESS:PORT",
    });
  const settings = Object.entries({
    THAW_PREVIEW_LISTEN: previewListen,
    THAW_LISTEN: listen,
    THAW_TLS_CERT: tlsCert === undefined ? undefined : resolve(tlsCert),
    THAW_TLS_KEY: tlsKey === undefined ? undefined : resolve(tlsKey),
  }).filter((one): one is [string, string] => one[1] !== undefined);
  if (settings.length > 0) {
    const running = await withClient((client) => client.host.info(), { autostart: false }).catch(() => null);
    if (running !== null)
      throw new ThawError("conflict", `a daemon runs already: process ${running.pid}`, {
        hint: "to restart it: thaw daemon stop, then thaw daemon start; its machines keep running",
      });
    for (const [name, value] of settings) process.env[name] = value;
  }
  const info = await withClient((client) => client.host.info());
  if (json) printJson(info);
  else writeOut(`running: process ${info.pid}, thaw ${info.version}, state in ${info.home}\n`);
}
