import type { Command } from "commander";
import { collectFilter } from "../arguments/filter.ts";
import { collectSelector } from "../arguments/selector.ts";
import type { Define } from "../verbs.ts";
import type { ListFlags } from "./list.ts";

/** Flags that choose and show sandboxes. */
export function addListFlags(command: Command): Command {
  return command
    .option("--label <K=V|K>", "only sandboxes with this label (may be repeated)", collectSelector)
    .option(
      "--filter <K=V>",
      "only sandboxes whose name, state, from or id begins with V, or label=K=V (may be repeated)",
      collectFilter,
    )
    .option("-q, --quiet", "print ids only")
    .option(
      "--format <template>",
      "print one line per sandbox, as in '{{.name}} {{.state}}'; json prints a line of JSON per sandbox",
    )
    .option("--no-trunc", "do not shorten long values")
    .option("--json", "print the sandboxes as JSON");
}

export const define: Define = (command, exit) => {
  addListFlags(command)
    .option("--all-contexts", "sandboxes of this host and of every context")
    .addHelpText(
      "after",
      "\nNEXT is the next automatic step, and when it comes.\n\nExamples:\n  $ thaw ls --json | jq -r '.[].name'\n  $ thaw ls --label repo=shop\n  $ thaw ls --filter state=running -q\n  $ thaw ls --all-contexts",
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
