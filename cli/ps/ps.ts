import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw ps SANDBOX`: its execs, the oldest first. */
export async function listExecs(sandbox: string, flags: { json?: boolean }): Promise<void> {
  const { info } = await withClient((client) => client.sandboxes.get(sandbox));
  if (flags.json === true) return printJson(info.execs);
  const rows = info.execs.map(({ id, state, exit, startedAt, argv }) => [
    id,
    state,
    exit === null ? "" : String(exit.signal ?? exit.code ?? ""),
    formatAge(startedAt),
    argv.join(" ").slice(0, 80),
  ]);
  writeOut(formatTable(["EXEC", "STATE", "EXIT", "STARTED", "COMMAND"], rows));
}
