import { ThawError } from "../../client/index.ts";
import { addExecFlags, detachKeysOption } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { ExecCommandFlags } from "./exec.ts";

/** The command behind the sandbox's name, without the `--` that may stand before it. */
function commandOf(words: readonly string[]): readonly string[] {
  const argv = words[0] === "--" ? words.slice(1) : words;
  if (argv.length === 0)
    throw new ThawError("usage", "there is no command", { hint: "thaw exec NAME -- COMMAND" });
  return argv;
}

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("<command...>", "the command and its arguments")
    // whatever follows the name is the command's, flags too
    .passThroughOptions()
    .option("-d, --detach", "start the command and print its exec's id");
  addExecFlags(command)
    .addOption(detachKeysOption())
    .addHelpText(
      "after",
      `
SIGINT, SIGTERM, SIGHUP and SIGQUIT go to the command. If the client is killed (SIGKILL, a lost connection), the command keeps
running: thaw attach attaches to it again, thaw logs prints its output.

Examples:
  $ thaw exec web -- ps aux
  $ thaw exec -it web -- bash
  $ thaw exec -d web -- npm run dev`,
    )
    .action(async (sandbox: string, words: string[], flags: ExecCommandFlags) => {
      const argv = commandOf(words);
      const { execIn } = await import("./exec.ts");
      exit(await execIn(sandbox, argv, flags));
    });
};
