import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";

/** Flags of `thaw freeze`. */
export interface FreezeFlags {
  json?: boolean;
}

/** `thaw freeze`: prints the new snapshot's tag. */
export async function freeze(sandbox: string, tag: string, flags: FreezeFlags): Promise<void> {
  await withClient(async (client) => {
    using reporter = createReporter(flags);
    using interrupt = abortOnSignals();
    const frozen = await client.sandboxes.at(sandbox).freeze(tag, {
      onProgress: (progress) => reporter.show(progress),
      signal: interrupt.signal,
    });
    reporter[Symbol.dispose]();
    if (flags.json === true) printJson(frozen);
    else writeOut(`${tag}\n`);
  });
}
