import { parseTag } from "../arguments/tag.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import { RANDOM_NOTE } from "../random-note.ts";
import type { Define } from "../verbs.ts";
import type { FreezeFlags } from "./freeze.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument("<sandbox>", "a name, an id, or a unique beginning of an id")
      .argument("<tag>", "NAME or NAME:VERSION of the new snapshot", parseTag)
      .option("--json", "print the snapshot as JSON"),
  )
    .addHelpText(
      "after",
      `\nThe snapshot has the memory, processes and disk of this instant; the sandbox keeps running.${RANDOM_NOTE}\n\nExample:\n  $ thaw freeze web mine:1 && thaw run --snapshot mine:1 -- ps`,
    )
    .action(async (sandbox: string, tag: string, flags: FreezeFlags) => {
      const { freeze } = await import("./freeze.ts");
      await freeze(sandbox, tag, flags);
      exit(0);
    });
};
