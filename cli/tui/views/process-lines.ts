import type { GuestReport } from "../../../client/index.ts";
import { commandOf, portsOf } from "../../top/top.ts";
import type { Line } from "../draw/text.ts";

/** A guest's processes, with the ports that they listen at. */
export function processLines(report: Pick<GuestReport, "processes" | "listening">): Line[] {
  return report.processes.map((process): Line => {
    const { pid, uid, state } = process;
    const ports = portsOf(pid, report);
    return [
      { text: `${String(pid).padStart(6)} ${String(uid).padStart(5)} ${state} `, tone: "dim" },
      { text: commandOf(process) },
      { text: ports.length === 0 ? "" : `  listening ${ports.join(", ")}`, tone: "accent" },
    ];
  });
}
