import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox...]", "names, ids, or unique beginnings of ids; default: all that run or are paused")
    .option("--json", "print the figures as JSON")
    .addHelpText(
      "after",
      `
CPU is measured over a second; 100% is one processor of the host. MEMORY is what the machine has of its own plus its share of what it has
in common with others (PSS); RSS counts what is shared in full.

Example:
  $ thaw stats web`,
    )
    .action(async (sandboxes: string[], flags: { json?: boolean }) => {
      const { stats } = await import("./stats.ts");
      await stats(sandboxes, flags);
      exit(0);
    });
};
