import { localContext, type RemoteHost, readContexts, type Thaw, ThawError } from "../client/index.ts";
import { withClient } from "./connect.ts";

/** How long a host may take to answer. */
const DEADLINE_MS = 6000;

/** What one host said, or why it said nothing. */
export type ContextAnswer<T> =
  | { context: string; value: T; error?: undefined }
  | { context: string; error: ThawError };

/** Asks this host and every context at once; none waits for another. @param ask its signal aborts when the host is late */
export async function askEveryContext<T>(
  signal: AbortSignal,
  ask: (client: Thaw, signal: AbortSignal) => Promise<T>,
): Promise<ContextAnswer<T>[]> {
  const hosts: [string, RemoteHost | undefined][] = [[localContext, undefined], ...readContexts().remotes];
  return Promise.all(hosts.map(([context, remote]) => askOne(context, remote, signal, ask)));
}

async function askOne<T>(
  context: string,
  remote: RemoteHost | undefined,
  outer: AbortSignal,
  ask: (client: Thaw, signal: AbortSignal) => Promise<T>,
): Promise<ContextAnswer<T>> {
  const late = AbortSignal.timeout(DEADLINE_MS);
  const signal = AbortSignal.any([outer, late]);
  try {
    return { context, value: await withClient((client) => ask(client, signal), { context: { remote } }) };
  } catch (error) {
    outer.throwIfAborted();
    if (late.aborted)
      return { context, error: new ThawError("timeout", `no answer within ${DEADLINE_MS / 1000} s`) };
    if (error instanceof ThawError) return { context, error };
    throw error;
  }
}
