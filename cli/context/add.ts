import { resolve } from "node:path";
import { defined } from "../../api/defined.ts";
import {
  type DaemonInfo,
  localContext,
  parseRemote,
  type RemoteHost,
  readContexts,
  saveContexts,
  ThawError,
} from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, writeOut } from "../output.ts";

export interface AddFlags {
  thaw?: string;
  tokenFile?: string;
  caFile?: string;
  /** False: don't connect. */
  check?: boolean;
  force?: boolean;
  json?: boolean;
}

/** A daemon that is older than this client is refused here too: no other verb would work with it. */
async function ask(remote: RemoteHost): Promise<DaemonInfo> {
  using abort = abortOnSignals();
  return await withClient((client) => client.host.info({ signal: abort.signal }), { context: { remote } });
}

/** `thaw context add`: nothing is written before the host has answered. */
export async function add(name: string, url: string, flags: AddFlags): Promise<void> {
  const absolute = (file: string | undefined) => (file === undefined ? undefined : resolve(file));
  const { thaw, tokenFile, caFile } = flags;
  const remote = parseRemote(name, url, { thaw, tokenFile: absolute(tokenFile), caFile: absolute(caFile) });
  const contexts = readContexts();
  if (name === localContext) {
    throw new ThawError("usage", `${localContext} always means this machine`, { hint: "another name" });
  }
  const before = contexts.remotes.get(name);
  if (before !== undefined && flags.force !== true) {
    throw new ThawError("conflict", `there is a context ${name} already: ${before.url}`, {
      hint: `--force replaces it; thaw context rm ${name}`,
    });
  }
  const info = flags.check === false ? undefined : await ask(remote);
  await saveContexts({ ...contexts, remotes: new Map([...contexts.remotes, [name, remote]]) });
  if (flags.json === true) printJson({ name, url, ...defined({ daemon: info }) });
  else if (info === undefined) writeOut(`${name}: not tried\n`);
  else
    writeOut(`${name}: ${cleanText(`thaw ${info.version} on ${info.host}`)}, ${info.sandboxes} sandboxes\n`);
}
