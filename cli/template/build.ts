import { defined } from "../../api/defined.ts";
import { readTemplate } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";

/** Flags of `thaw template build`. */
export interface BuildFlags {
  /** The project file. */
  file?: string;
  runner?: string;
  force?: boolean;
  refresh?: boolean;
  watch?: boolean;
  verbose?: boolean;
  json?: boolean;
}

/** `thaw template build`: prints the snapshot's tag, or its id when it has none. */
export async function build(template: string, flags: BuildFlags): Promise<void> {
  const { file, runner, force = false, refresh = false } = flags;
  const request = { ...(await readTemplate(template, { file })), ...defined({ runner }), force, refresh };
  await withClient(async (client) => {
    using reporter = createReporter(flags);
    using interrupt = abortOnSignals();
    const snapshot = await client.templates.build(request, {
      onProgress: (progress) => reporter.show(progress),
      signal: interrupt.signal,
    });
    reporter[Symbol.dispose]();
    if (flags.json === true) printJson(snapshot);
    else writeOut(`${snapshot.tags[0] ?? snapshot.id}\n`);
  });
}
