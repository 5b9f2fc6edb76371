import { detachKeysOption, resultFileOption } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { AttachFlags } from "./attach.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("[exec]", "an exec's id or a unique beginning of it (default: the newest that runs)")
    .option("--takeover", "write, though somebody else does; they watch from then on")
    .option("--watch", "only watch")
    .option("-i, --interactive", "pass stdin on though it is no terminal")
    .addOption(detachKeysOption())
    .option("--json", "the result as a line of JSON on stderr")
    .addOption(resultFileOption())
    .addHelpText(
      "after",
      `
Shows the last 256 KiB of what the command wrote, then what comes. One client writes, others watch. Leaving, or a closed
terminal, lets the command run on. The exit code is the command's own; 0 when you left.

Examples:
  $ thaw attach web
  $ thaw attach web 7k3x --takeover
  $ thaw attach web --watch --detach-keys ctrl-p,ctrl-q`,
    )
    .action(async (sandbox: string, exec: string | undefined, flags: AttachFlags) => {
      const { attach } = await import("./attach.ts");
      exit(await attach(sandbox, exec, flags));
    });
};
