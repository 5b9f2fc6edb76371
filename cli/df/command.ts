import type { Define } from "../verbs.ts";
import type { DfFlags } from "./df.ts";

export const define: Define = (command, exit) => {
  command
    .option("--verbose", "also list each snapshot, capture, cache and sandbox")
    .option("--json", "print the figures as JSON")
    .addHelpText(
      "after",
      `
SIZE is what is allocated on the disk. Snapshots, sandboxes, caches and steps share files; a shared file is counted once, in the first row that has it.
FREES is what a removal frees: the files that nothing else has. PRUNE FREES is what thaw prune frees of a row.

Example:
  $ thaw df --verbose`,
    )
    .action(async (flags: DfFlags) => {
      const { df } = await import("./df.ts");
      await df(flags);
      exit(0);
    });
};
