import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument(
      "[exec...]",
      "ids of execs in the sandbox, or unique beginnings (default: all running commands)",
    )
    .option("-s, --signal <signal>", "the signal, e.g. TERM, SIGINT or 9", "KILL")
    .option("--json", "print the commands as JSON")
    .addHelpText(
      "after",
      `
KILL ends a command with all its processes; another signal goes to its process group. The sandbox stays: thaw rm removes it.

Examples:
  $ thaw kill web
  $ thaw kill -s INT web 3fk2`,
    )
    .action(async (sandbox: string, execs: string[], flags: { signal: string; json?: boolean }) => {
      const { kill } = await import("./kill.ts");
      await kill(sandbox, execs, flags);
      exit(0);
    });
};
