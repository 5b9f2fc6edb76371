import { localContext, readContexts } from "../../client/contexts/config.ts";
import { findRemote } from "../../client/contexts/find.ts";
import { saveContexts } from "../../client/contexts/save.ts";
import { ThawError } from "../../client/errors.ts";
import { writeOut } from "../output.ts";

/** `thaw context use`. @throws ThawError `not-found`. */
export function use(name: string): void {
  const contexts = readContexts();
  findRemote(contexts, name);
  saveContexts({ ...contexts, current: name });
  writeOut(`${name}\n`);
}

/** `thaw context rm`: all or none. When the one in use goes, this host takes its place. @throws ThawError `not-found`. */
export function remove(names: readonly string[]): void {
  const { current, remotes } = readContexts();
  const left = new Map(remotes);
  for (const name of names) {
    if (name === localContext) throw new ThawError("usage", `${localContext} is this host and stays`);
    findRemote({ current, remotes }, name);
    left.delete(name);
  }
  saveContexts({ current: names.includes(current) ? localContext : current, remotes: left });
  for (const name of names) writeOut(`${name}\n`);
}
