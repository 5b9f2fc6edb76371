import { addListFlags } from "../ls/command.ts";
import type { ListFlags } from "../ls/list.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  addListFlags(command.argument("[sandbox]", "its name, id, or a unique beginning of its id"))
    .addHelpText(
      "after",
      "\nWithout a sandbox it lists sandboxes, as thaw ls does. The guest reports the processes, at most 256.\n\nExamples:\n  $ thaw ps\n  $ thaw ps web",
    )
    .action(async (sandbox: string | undefined, flags: ListFlags) => {
      if (sandbox === undefined) {
        const { list } = await import("../ls/list.ts");
        await list(flags);
      } else {
        const { listCommands } = await import("./ps.ts");
        await listCommands(sandbox, flags);
      }
      exit(0);
    });
};
