import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print it as JSON")
    .addHelpText("after", "\nTo see what the host lacks: thaw doctor.\n\nExample:\n  $ thaw info")
    .action(async (flags: { json?: boolean }) => {
      const { info } = await import("./info.ts");
      await info(flags);
      exit(0);
    });
};
