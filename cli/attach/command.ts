import { detachKeysOption, resultFileOption } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { AttachFlags } from "./attach.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("[exec]", "an exec's id or a unique beginning of it (default: the newest running command)")
    .option("--takeover", "take the input over from another client, which can then only watch")
    .option("--watch", "only watch")
    .option("-i, --interactive", "pass stdin on, even if it is not a terminal")
    .addOption(detachKeysOption())
    .option("--json", "print the result as a line of JSON on stderr")
    .addOption(resultFileOption())
    .addHelpText(
      "after",
      `
Prints the last 256 KiB of the command's output, then new output. One client can write; the others watch. If you detach or
close the terminal, the command keeps running. The exit code is the command's own, or 0 if you detached.

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
