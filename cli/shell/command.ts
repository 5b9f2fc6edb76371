import { collectEnv } from "../arguments/env.ts";
import { parseUser } from "../arguments/user.ts";
import { detachKeysOption } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { ShellFlags } from "./shell.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .option("--exec [exec]", "go back to a running shell: the one with this id, or the newest")
    .option("--takeover", "with --exec: take the input over from another client")
    .option("-u, --user <user>", "run as NAME, UID, NAME:GROUP or UID:GID", parseUser)
    .option("-w, --workdir <dir>", "start in this folder of the sandbox")
    .option(
      "-e, --env <K=V>",
      "set a variable; K alone passes on its value from your environment (may be repeated)",
      collectEnv,
    )
    .addOption(detachKeysOption())
    .addHelpText(
      "after",
      `
Starts the user's login shell in a terminal, or bash or sh if the user has no login shell. After you detach, the shell keeps running.

Examples:
  $ thaw shell web
  $ thaw shell -u nobody web
  $ thaw shell web --exec`,
    )
    .action(async (sandbox: string, flags: ShellFlags) => {
      const { shell } = await import("./shell.ts");
      exit(await shell(sandbox, flags));
    });
};
