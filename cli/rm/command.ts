import { ThawError } from "../../client/index.ts";
import { collectSelector } from "../arguments/selector.ts";
import type { Define } from "../verbs.ts";

interface RmFlags {
  all?: boolean;
  force?: boolean;
  label?: readonly string[];
  json?: boolean;
}

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox...]", "names, ids, or unique beginnings of ids")
    .option("--all", "every sandbox of this host")
    .option(
      "--label <K=V|K>",
      "every sandbox with this label (may be repeated; a sandbox must have all labels)",
      collectSelector,
    )
    .option("-f, --force", "ignore sandboxes that do not exist")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw rm web\n  $ thaw rm --label repo=shop\n  $ thaw rm --all")
    .action(async (named: string[], flags: RmFlags) => {
      const ways = [named.length > 0, flags.all === true, flags.label !== undefined];
      if (ways.filter(Boolean).length !== 1)
        throw new ThawError("usage", "give sandboxes, or --label, or --all", { hint: "thaw ls" });
      const { actOnEach } = await import("../act-on-each.ts");
      const { withClient } = await import("../connect.ts");
      const names =
        named.length > 0
          ? named
          : await withClient(async (client) =>
              (await client.sandboxes.list({ labels: flags.label })).map(({ id }) => id),
            );
      // one of those chosen that somebody else removes meanwhile is as wanted
      const ignoreGone = (error: unknown): void => {
        const mayBeGone = named.length === 0 || flags.force === true;
        if (!mayBeGone || !(error instanceof ThawError && error.code === "not-found")) throw error;
      };
      exit(
        await actOnEach(
          names,
          (client, sandbox) => client.sandboxes.at(sandbox).remove().catch(ignoreGone),
          flags,
        ),
      );
    });
};
