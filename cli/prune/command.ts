import type { Define } from "../verbs.ts";
import type { PruneFlags } from "./prune.ts";

export const define: Define = (command, exit) => {
  command
    .option("--dry-run", "only print what would be removed, and why")
    .option("--json", "print the report as JSON")
    .addHelpText(
      "after",
      `
"captures", "caches" and "steps" in the host's config.yaml set the limits. Pinned captures and everything in use are kept.

Example:
  $ thaw prune --dry-run`,
    )
    .action(async (flags: PruneFlags) => {
      const { prune } = await import("./prune.ts");
      await prune(flags);
      exit(0);
    });
};
