import { InvalidArgumentError } from "commander";
import type { Define } from "../verbs.ts";

function parseSignal(text: string): string {
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (/^([A-Z][A-Z0-9+-]{1,11}|[1-9]\d?)$/.test(name)) return name;
  throw new InvalidArgumentError("Write a signal's name or number, e.g. TERM or 15.");
}

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("[exec]", "an exec's id or a unique beginning of it (default: the newest that runs)")
    .option("-s, --signal <signal>", "the signal", parseSignal, "KILL")
    .option("--json", "print the exec as JSON")
    .addHelpText(
      "after",
      `
KILL ends all processes of the exec; other signals go to its process group. The sandbox stays: thaw rm removes it.

Examples:
  $ thaw kill web
  $ thaw kill -s INT web 7k3x`,
    )
    .action(async (sandbox: string, exec: string | undefined, flags: { signal: string; json?: boolean }) => {
      const { kill } = await import("./kill.ts");
      await kill(sandbox, exec, flags);
      exit(0);
    });
};
