import type { Define } from "../verbs.ts";
import type { PruneFlags } from "./prune.ts";

export const define: Define = (command, exit) => {
  command
    .option("--dry-run", "only say what would go, and why")
    .option("--json", "print the report as JSON")
    .addHelpText(
      "after",
      `
What is kept is decided by "captures" and "caches" in the host's config.yaml. Pinned captures stay, and what is in use.

Example:
  $ thaw prune --dry-run`,
    )
    .action(async (flags: PruneFlags) => {
      const { prune } = await import("./prune.ts");
      await prune(flags);
      exit(0);
    });
};
