import { parseLines } from "../arguments/count.ts";
import { parseSince } from "../arguments/since.ts";
import type { Define } from "../verbs.ts";
import type { LogsFlags } from "./logs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("[exec]", "an exec's id or a unique beginning of it (default: the newest command)")
    .option(
      "-a, --all",
      "print the output of every command of the sandbox, each line with the exec's id before it",
    )
    .option(
      "-f, --follow",
      "keep printing until the command has ended; with --all, until the sandbox is removed",
    )
    .option("--since <when>", "only output of the last 10m, 2h, … or since 2026-01-31T12:00:00Z", parseSince)
    .option("-n, --tail <lines>", "only the last lines, of stdout and stderr together", parseLines)
    .option("-t, --timestamps", "put the time before each line")
    .option("--json", "print each line as an object of JSON: time, stream, text; with --all also exec")
    .addHelpText(
      "after",
      `
The command's stdout is printed to stdout, its stderr to stderr.

Examples:
  $ thaw logs web
  $ thaw logs -f --since 10m web
  $ thaw logs -f --all web
  $ thaw logs --tail 50 --timestamps web 7k3x
  $ thaw ls --json | jq -r '.[] | select(.name == "web").execs[] | "\\(.id) \\(.state) \\(.argv | join(" "))"'`,
    )
    .action(async (sandbox: string, exec: string | undefined, flags: LogsFlags) => {
      const { showLog } = await import("./logs.ts");
      exit(await showLog(sandbox, exec, flags));
    });
};
