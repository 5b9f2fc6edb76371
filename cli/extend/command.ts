import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or the unique beginning of an id")
    .argument("<duration>", "how much later: 30m, 1h, 1h30m", parseDuration)
    .option("--json", "print the sandbox as JSON")
    .addHelpText("after", "\nMoves the removal time that --ttl has set.\n\nExample:\n  $ thaw extend web 1h")
    .action(async (sandbox: string, byMs: number, flags: { json?: boolean }) => {
      const { extend } = await import("./extend.ts");
      await extend(sandbox, byMs, flags);
      exit(0);
    });
};
