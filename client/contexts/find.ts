import { ThawError } from "../errors.ts";
import { type Contexts, localContext, readContexts } from "./config.ts";
import type { RemoteHost } from "./remote.ts";

/** The host that is worked on. */
export interface ChosenContext {
  name: string;
  /** Undefined: this host. */
  remote: RemoteHost | undefined;
  /** Who chose it. */
  by: "THAW_CONTEXT" | "thaw context use" | "default";
}

/** Looks a context up; undefined for this host. @throws ThawError `not-found` with those there are. */
export function findRemote({ remotes }: Contexts, name: string): RemoteHost | undefined {
  if (name === localContext) return undefined;
  const remote = remotes.get(name);
  if (remote !== undefined) return remote;
  throw new ThawError("not-found", `there is no context ${JSON.stringify(name.slice(0, 80))}`, {
    hint: `thaw context ls; thaw context add ${/^[a-z0-9-]+$/.test(name) ? name : "NAME"} ssh://USER@HOST`,
    details: [localContext, ...remotes.keys()],
  });
}

/** Chooses the context: `THAW_CONTEXT`, else the one in use, else this host. @throws ThawError `not-found`, `usage`. */
export function chooseContext(env: Record<string, string | undefined> = process.env): ChosenContext {
  const named = env.THAW_CONTEXT;
  if (named === localContext) return { name: named, remote: undefined, by: "THAW_CONTEXT" };
  const contexts = readContexts(env);
  const name = named || contexts.current;
  const by = named ? "THAW_CONTEXT" : name === localContext ? "default" : "thaw context use";
  return { name, remote: findRemote(contexts, name), by };
}
