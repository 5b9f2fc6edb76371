/** What a sandbox uses of the host. */
import type { Sandbox } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { Graph } from "../../parts/graph.tsx";
import { useHost } from "../../state/page-host.ts";

/** Its share of its own processors. */
export function CpuCell({ sandbox: { id, resources } }: { sandbox: Sandbox }) {
  const samples = useHost(({ usage }) => usage.get(id)?.cpuPercent);
  const now = samples?.at(-1);
  if (samples === undefined || now === undefined) return <span className="dim">–</span>;
  return (
    <span className="use">
      <Graph values={samples} most={100 * resources.cpus} />
      <span>{now.toFixed(0)} %</span>
    </span>
  );
}

export function MemoryCell({ sandbox: { id, resources } }: { sandbox: Sandbox }) {
  const samples = useHost(({ usage }) => usage.get(id)?.memoryBytes);
  const most = resources.memoryMib * 2 ** 20;
  const now = samples?.at(-1);
  if (samples === undefined || now === undefined) return <span className="dim">{formatSize(most)}</span>;
  return (
    <span className="use" title={`${formatSize(now)} of ${formatSize(most)}`}>
      <Graph values={samples} most={most} />
      <span>{formatSize(now)}</span>
    </span>
  );
}
