import { Option } from "commander";
import { collectSelector } from "../arguments/selector.ts";
import type { Define } from "../verbs.ts";
import type { ListFlags } from "./list.ts";

export const define: Define = (command, exit) => {
  command
    .option("--label <K=V|K>", "only those with this label (may be repeated)", collectSelector)
    .option("--all-contexts", "those of this host and of every context")
    .addOption(new Option("-q, --quiet", "print only ids").conflicts(["json", "allContexts"]))
    .option("--json", "print the sandboxes as JSON")
    .addHelpText(
      "after",
      "\nNEXT is what happens by itself, and when.\n\nExamples:\n  $ thaw ls --json | jq -r '.[].name'\n  $ thaw ls --label repo=shop\n  $ thaw ls --all-contexts",
    )
    .action(async (flags: ListFlags) => {
      if (flags.allContexts === true) {
        const { listEverywhere } = await import("./everywhere.ts");
        exit(await listEverywhere(flags));
        return;
      }
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
};
