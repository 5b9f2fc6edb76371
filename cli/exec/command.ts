import { addExecFlags, detachKeysOption } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { ExecCommandFlags } from "./exec.ts";

export const define: Define = (command, exit, words) => {
  command
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .argument("<command...>", "the command and its arguments")
    // with a -- flags may stand on either side of the name; without one, what follows the name is the command's
    .passThroughOptions(!words.includes("--"))
    .option("-d, --detach", "start the command and print its exec's id");
  addExecFlags(command)
    .addOption(detachKeysOption())
    .addHelpText(
      "after",
      "\nExamples:\n  $ thaw exec web -- ps aux\n  $ thaw exec -it web -- bash\n  $ thaw exec -d web -- npm run dev",
    )
    .action(async (sandbox: string, argv: string[], flags: ExecCommandFlags) => {
      const { execIn } = await import("./exec.ts");
      exit(await execIn(sandbox, argv, flags));
    });
};
