import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .option("--json", "print processes and listening ports as JSON")
    .addHelpText(
      "after",
      "\nThe guest reports the processes, at most 256. A sandbox that is not running has none.\n\nExample:\n  $ thaw top web",
    )
    .action(async (sandbox: string, flags: { json?: boolean }) => {
      const { top } = await import("./top.ts");
      await top(sandbox, flags);
      exit(0);
    });
};
