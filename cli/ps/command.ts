import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox]", "its name, id, or a unique beginning of its id (default: list the sandboxes)")
    .option("--json", "print the execs, or the sandboxes, as JSON")
    .addHelpText(
      "after",
      "\nThe processes in a sandbox: thaw top NAME\n\nExamples:\n  $ thaw ps\n  $ thaw ps web",
    )
    .action(async (sandbox: string | undefined, flags: { json?: boolean }) => {
      if (sandbox === undefined) {
        const { list } = await import("../ls/list.ts");
        await list(flags);
      } else {
        const { listExecs } = await import("./ps.ts");
        await listExecs(sandbox, flags);
      }
      exit(0);
    });
};
