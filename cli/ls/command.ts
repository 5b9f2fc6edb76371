import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print the sandboxes as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw ls --json | jq -r '.[].name'")
    .action(async (flags: { json?: boolean }) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
};
