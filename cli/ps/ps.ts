import { type GuestReport, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatCommand, formatExecState } from "../format/ending.ts";
import { formatTable } from "../format/table.ts";
import type { ListFlags } from "../ls/list.ts";
import { printJson, writeOut } from "../output.ts";
import { formatProcesses } from "../top/top.ts";

/** `thaw ps SANDBOX`: its commands, and its processes while it runs. With `-q` the ids of commands. */
export async function listCommands(sandbox: string, flags: ListFlags): Promise<void> {
  if (flags.filter !== undefined || flags.format !== undefined || flags.label !== undefined)
    throw new ThawError("usage", "--filter, --format and --label choose sandboxes: name none");
  const { execs, report } = await withClient(async (client) => {
    const found = await client.sandboxes.get(sandbox);
    const none: GuestReport = { processes: [], listening: [] };
    // To look at one that sleeps does not wake it.
    const report = found.info.state === "running" ? await found.processes() : none;
    return { execs: found.info.execs, report };
  });
  if (flags.json === true) return printJson({ execs, ...report });
  if (flags.quiet === true) return writeOut(execs.map(({ id }) => `${id}\n`).join(""));
  const rows = execs.map((exec) => [
    exec.id,
    formatExecState(exec),
    formatAge(exec.startedAt),
    exec.user ?? "",
    formatCommand(exec.argv, flags.trunc === false ? Number.POSITIVE_INFINITY : undefined),
  ]);
  writeOut(formatTable(["EXEC", "STATE", "STARTED", "USER", "COMMAND"], rows));
  if (report.processes.length > 0) writeOut(`\n${formatProcesses(report)}`);
}
