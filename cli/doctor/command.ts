import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print the report as JSON")
    .addHelpText(
      "after",
      "\nThe exit code is 1 if sandboxes can't run on this host.\n\nExample:\n  $ thaw doctor",
    )
    .action(async (flags: { json?: boolean }) => {
      const { doctor } = await import("./doctor.ts");
      exit(await doctor(flags));
    });
};
