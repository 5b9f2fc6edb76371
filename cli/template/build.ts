import { readTemplate } from "../arguments/source.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";

/** `thaw template build`: prints the snapshot's tag, or its id when it has none. */
export async function build(
  template: string,
  flags: { force?: boolean; verbose?: boolean; json?: boolean },
): Promise<void> {
  const request = { ...readTemplate(template), force: flags.force === true };
  await withClient(async (client) => {
    using reporter = createReporter(flags);
    const snapshot = await client.buildTemplate(request, {
      onProgress: (progress) => reporter.show(progress),
    });
    reporter[Symbol.dispose]();
    if (flags.json === true) printJson(snapshot);
    else writeOut(`${snapshot.tags[0] ?? snapshot.id}\n`);
  });
}
