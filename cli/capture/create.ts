import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw capture create`: prints the capture's id. */
export async function create(sandbox: string, flags: { json?: boolean }): Promise<void> {
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const capture = await withClient((client) => client.sandboxes.at(sandbox).capture({ signal }));
  if (flags.json === true) printJson(capture);
  else writeOut(`${capture.id}\n`);
}
