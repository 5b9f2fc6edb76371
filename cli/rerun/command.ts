import { parseCopies } from "../arguments/count.ts";
import { collectEnv } from "../arguments/env.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { RerunFlags } from "./rerun.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument("<capture>", "an id, a unique beginning of one, or latest")
      .argument("[command...]", "another command, after -- (default: the captured command)")
      .option("-n, --count <n>", "how many runs", parseCopies, 10)
      .option("-j, --jobs <n>", "how many runs at the same time", parseCopies, 2)
      .option("-e, --env <K=V>", "set a variable, for instance a secret one (may be repeated)", collectEnv)
      .option("--json", "print the runs as JSON"),
  )
    .addHelpText(
      "after",
      `
Each run starts from the state before the command: the snapshot with the copied workspace, or a checkpoint (run --checkpoint).
Of runs that fail in the same way, only the first is captured. The exit code is 0 if the runs could be made, even if they failed.

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
