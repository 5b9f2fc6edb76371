import { findRemote, localContext, readContexts, saveContexts, ThawError } from "../../client/index.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw context use`. @throws ThawError `not-found`. */
export async function use(name: string, flags: { json?: boolean }): Promise<void> {
  const contexts = readContexts();
  findRemote(contexts, name);
  await saveContexts({ ...contexts, current: name });
  if (flags.json === true) printJson({ current: name });
  else writeOut(`${name}\n`);
}

/** `thaw context rm`: all or none. When the one in use goes, this host takes its place. @throws ThawError `not-found`. */
export async function remove(names: readonly string[], flags: { json?: boolean }): Promise<void> {
  const { current, remotes } = readContexts();
  const left = new Map(remotes);
  for (const name of names) {
    if (name === localContext)
      throw new ThawError("usage", `${localContext} is this machine and can't be removed`);
    findRemote({ current, remotes }, name);
    left.delete(name);
  }
  await saveContexts({ current: names.includes(current) ? localContext : current, remotes: left });
  if (flags.json === true) printJson({ removed: names });
  else for (const name of names) writeOut(`${name}\n`);
}
