import { parseCopies } from "../arguments/count.ts";
import { collectEnv } from "../arguments/env.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { RerunFlags } from "./rerun.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument("<capture>", "an id, a unique beginning of one, or latest")
      .argument("[command...]", "another command, behind -- (default: the one that failed)")
      .option("-n, --count <n>", "how many times", parseCopies, 10)
      .option("-j, --jobs <n>", "how many at a time", parseCopies, 2)
      .option(
        "-e, --env <K=V>",
        "set a variable, one that was secret for instance (may be repeated)",
        collectEnv,
      )
      .option("--json", "print the runs as JSON"),
  )
    .addHelpText(
      "after",
      `
Each run starts from the state just before the command: the snapshot, the workspace that was copied in, or a checkpoint (run --checkpoint).
One capture is kept of each failure that is not like one before. The exit code is 0 when the question was answered, whatever the answer.

Examples:
  $ thaw rerun latest -n 20 -j 4
  $ thaw rerun fail-7k2qxz -- npm test -- --only checkout`,
    )
    .action(async (capture: string, argv: string[], flags: RerunFlags) => {
      const { rerun } = await import("./rerun.ts");
      await rerun(capture, argv, flags);
      exit(0);
    });
};
