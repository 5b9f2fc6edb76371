import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print both versions as JSON")
    .addHelpText("after", "\nThis does not start a daemon.\n\nExample:\n  $ thaw version")
    .action(async (flags: { json?: boolean }) => {
      const { version } = await import("./version.ts");
      await version(flags);
      exit(0);
    });
};
