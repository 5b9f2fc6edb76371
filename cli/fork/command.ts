import { parseCopies } from "../arguments/count.ts";
import { collectLabel } from "../arguments/label.ts";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { parseTimer } from "../arguments/timers.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import { RANDOM_NOTE } from "../random-note.ts";
import type { Define } from "../verbs.ts";
import type { ForkFlags } from "./fork.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument("<sandbox>", "a name, an id, or a unique beginning of an id")
      .option("-n, --count <n>", "how many copies", parseCopies, 1)
      .option("--name <prefix>", "name them PREFIX-1, PREFIX-2, …", parseSandboxName)
      .option(
        "--label <K=V>",
        "add a label to the copies; they also get the sandbox's labels (may be repeated)",
        collectLabel,
      )
      .option(
        "--ttl <duration>",
        "remove each copy this long after its creation, even if it is in use",
        parseTimer,
      )
      .option("--json", "print the sandboxes as JSON"),
  )
    .addHelpText(
      "after",
      `\nEach copy has the memory, processes and disk of this instant, and an identity of its own; the sandbox keeps running.${RANDOM_NOTE}\n\nExample:\n  $ thaw fork web -n 3 --name try && thaw exec try-2 -- hostname`,
    )
    .action(async (sandbox: string, flags: ForkFlags) => {
      const { fork } = await import("./fork.ts");
      await fork(sandbox, flags);
      exit(0);
    });
};
