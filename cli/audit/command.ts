import { parseLines } from "../arguments/count.ts";
import type { Define } from "../verbs.ts";
import type { AuditFlags } from "./audit.ts";

export const define: Define = (command, exit) => {
  command
    .option("--limit <count>", "how many entries", parseLines, 50)
    .option("--json", "print the entries as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw audit --limit 200")
    .action(async (flags: AuditFlags) => {
      const { audit } = await import("./audit.ts");
      await audit(flags);
      exit(0);
    });
};
