import { ThawError } from "../../client/errors.ts";
import type { Define } from "../verbs.ts";

interface RmFlags {
  all?: boolean;
  json?: boolean;
}

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox...]", "names, ids, or unique beginnings of ids")
    .option("--all", "every sandbox of this host")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw rm web\n  $ thaw rm --all")
    .action(async (named: string[], flags: RmFlags) => {
      if (named.length > 0 === (flags.all === true)) {
        throw new ThawError("usage", "give sandboxes, or --all", { hint: "thaw ls" });
      }
      const { actOnEach } = await import("../act-on-each.ts");
      const { withClient } = await import("../connect.ts");
      const names =
        flags.all === true
          ? await withClient(async (client) => (await client.listSandboxes()).map(({ id }) => id))
          : named;
      exit(await actOnEach(names, (client, sandbox) => client.removeSandbox(sandbox), flags));
    });
};
