/** What sandboxes use, sample by sample, as the daemon sends it. */
import type { StatsSample, Thaw } from "../../../client/index.ts";
import type { HostState, Usage } from "../state/state.ts";
import type { Store } from "../state/store.ts";

/** Samples kept for a graph. */
const KEPT = 16;

/** The host with one sample more. */
export function addSample(host: HostState, sample: StatsSample): HostState {
  const usage = new Map<string, Usage>();
  for (const { id, cpuPercent, pssBytes } of sample.sandboxes) {
    const before = host.usage.get(id) ?? { cpuPercent: [], memoryBytes: [] };
    usage.set(id, {
      cpuPercent: cpuPercent === null ? before.cpuPercent : [...before.cpuPercent, cpuPercent].slice(-KEPT),
      memoryBytes: [...before.memoryBytes, pssBytes].slice(-KEPT),
    });
  }
  return { ...host, usage, machine: sample.host };
}

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
