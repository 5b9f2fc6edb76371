/** What sandboxes use, sample by sample, as the daemon sends it. */
import { addSample, type Thaw } from "../../../client/index.ts";
import type { Store } from "../state/store.ts";

/** Follows the samples of a host until the signal aborts. Never throws: who follows the host says that it is away. */
export async function followUsage(
  { store, context, client }: { store: Store; context: string; client: Thaw },
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const sample of client.stats({ follow: true, signal }))
      store.setHost(context, (host) => addSample(host, sample));
  } catch {
    // as above
  }
}
