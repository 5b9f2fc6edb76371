/** The machine at the freeze: processes, ports, and what its programs asked the network for. */
import type { Capture } from "../../../api/capture.ts";
import { formatSize } from "../../../api/size.ts";
import { ProcessTable } from "../../parts/processes.tsx";
import { Text } from "../../parts/text.tsx";

export function Machine({ capture }: { capture: Capture }) {
  const { processes, listening, resources, isolation, needs, disk } = capture;
  const nobodys = listening.filter(({ pid }) => pid === null || !processes.some((each) => each.pid === pid));
  return (
    <>
      <p className="dim">
        {resources.cpus} cpu, {formatSize(resources.memoryMib * 2 ** 20)}, {isolation}, kernel{" "}
        <Text text={needs.kernel} />
        {!disk.writtenOut &&
          "; files were not written out before the freeze: its disk may be older than its memory"}
      </p>
      <h2>Processes</h2>
      <ProcessTable processes={processes} listening={listening} />
      {nobodys.length > 0 && (
        <>
          <h2>Other ports</h2>
          <ul>
            {nobodys.map(({ protocol, address, port }) => (
              <li key={`${protocol} ${address} ${port}`}>
                {protocol} <Text text={address} />:{port}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

export function Network({ capture: { egress, exec } }: { capture: Capture }) {
  if (egress.length === 0)
    return <p className="dim">{exec === null ? "Nothing" : "The command"} asked the network for nothing.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th>Verdict</th>
          <th className="right">Times</th>
          <th>Destination</th>
        </tr>
      </thead>
      <tbody>
        {egress.map(({ destination, allowed, count }) => (
          <tr key={`${destination} ${allowed}`}>
            <td className={allowed ? "good" : "bad"}>{allowed ? "allowed" : "denied"}</td>
            <td className="right">{count}</td>
            <td className="wide">
              <Text className="mono" text={destination} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
