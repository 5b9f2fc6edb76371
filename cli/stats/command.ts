import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument(
      "[sandbox...]",
      "names, ids, or unique beginnings of ids; default: all running and paused sandboxes",
    )
    .option("--json", "print the figures as JSON")
    .addHelpText(
      "after",
      `
CPU is measured over a second; 100% is one processor of the host. MEMORY is the machine's own memory plus its share of the memory that it has
in common with others (PSS); RSS counts shared memory in full.

Example:
  $ thaw stats web`,
    )
    .action(async (sandboxes: string[], flags: { json?: boolean }) => {
      const { stats } = await import("./stats.ts");
      await stats(sandboxes, flags);
      exit(0);
    });
};
