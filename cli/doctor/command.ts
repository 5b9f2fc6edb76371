import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExits with 1 when sandboxes can't run here.\n\nExample:\n  $ thaw doctor")
    .action(async (flags: { json?: boolean }) => {
      const { doctor } = await import("./doctor.ts");
      exit(await doctor(flags));
    });
};
