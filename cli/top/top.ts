import type { GuestReport } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** Ports that a process listens at, each once. */
export function portsOf(pid: number, { listening }: Pick<GuestReport, "listening">): number[] {
  return [...new Set(listening.filter((socket) => socket.pid === pid).map(({ port }) => port))];
}

/** A process's command line. A process without one, such as the kernel's, is shown by its name in brackets. */
export function commandOf({ command, name }: GuestReport["processes"][number]): string {
  return command === "" ? `[${name}]` : command;
}

/** Processes as a table. */
export function formatProcesses(report: GuestReport): string {
  const rows = report.processes.map((process) => {
    const { pid, parent, uid, state } = process;
    const ports = portsOf(pid, report).join(" ");
    return [String(pid), String(parent), String(uid), state, ports, commandOf(process)];
  });
  return formatTable(["PID", "PARENT", "USER", "STATE", "LISTENS", "COMMAND"], rows);
}

/** `thaw top`: processes as the guest tells them. */
export async function top(sandbox: string, flags: { json?: boolean }): Promise<void> {
  const report = await withClient((client) => client.sandboxes.at(sandbox).processes());
  if (flags.json === true) printJson(report);
  else writeOut(formatProcesses(report));
}
