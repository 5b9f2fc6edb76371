import { parseSandboxName } from "../arguments/sandbox-name.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("<name>", "its new name", parseSandboxName)
    .option("--json", "print the sandbox as JSON")
    .addHelpText(
      "after",
      "\nThe hostname in the sandbox does not change.\n\nExample:\n  $ thaw rename web site",
    )
    .action(async (sandbox: string, name: string, flags: { json?: boolean }) => {
      const { withClient } = await import("../connect.ts");
      const { printJson, writeOut } = await import("../output.ts");
      const renamed = await withClient((client) => client.sandboxes.at(sandbox).rename(name));
      if (flags.json === true) printJson(renamed);
      else writeOut(`${renamed.name}\n`);
      exit(0);
    });
};
