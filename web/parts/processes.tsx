/** What runs in a machine, or ran in it at the freeze. */
import type { Capture } from "../../api/capture.ts";
import { Text } from "./text.tsx";

export function ProcessTable({ processes, listening }: Pick<Capture, "processes" | "listening">) {
  const portsOf = (pid: number): string =>
    [...new Set(listening.filter((socket) => socket.pid === pid).map(({ port }) => port))].join(", ");
  if (processes.length === 0) return <p className="dim">The guest told of none.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th className="right">Pid</th>
          <th className="right">User</th>
          <th>State</th>
          <th>Listens at</th>
          <th>Command</th>
        </tr>
      </thead>
      <tbody>
        {processes.map(({ pid, uid, state, name, command }) => (
          <tr key={pid}>
            <td className="right">{pid}</td>
            <td className="right">{uid}</td>
            <td>
              <Text text={state} />
            </td>
            <td>{portsOf(pid)}</td>
            <td className="wide">
              <Text className="mono" text={command === "" ? `[${name}]` : command} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
