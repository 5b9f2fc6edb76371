import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print the snapshots as JSON")
    .addHelpText("after", "\nThe same as thaw snapshot ls.\n\nExample:\n  $ thaw images")
    .action(async (flags: { json?: boolean }) => {
      const { list } = await import("../snapshot/list.ts");
      await list(flags);
      exit(0);
    });
};
