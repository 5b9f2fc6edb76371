import { Option } from "commander";
import { ThawError } from "../../client/index.ts";
import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";
import type { WaitFlags } from "./wait.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or the unique beginning of an id")
    .argument("[exec]", "with --for exec: the exec's id")
    .addOption(
      new Option(
        "--for <what>",
        "wait for stopped (also failed or removed), removed, or exec: the end of one command",
      )
        .choices(["stopped", "removed", "exec"])
        .default("stopped"),
    )
    .option("--timeout <duration>", "give up after this long (exit code 124)", parseDuration)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
With --for exec the exit code is the command's own.

Examples:
  $ thaw wait web --timeout 10m
  $ thaw wait web --for exec x7k2q4m9np`,
    )
    .action(async (sandbox: string, exec: string | undefined, flags: WaitFlags) => {
      if ((flags.for === "exec") !== (exec !== undefined))
        throw new ThawError("usage", "--for exec needs an exec's id, and only that", {
          hint: "thaw ls --json shows the ids of execs",
        });
      const { wait } = await import("./wait.ts");
      exit(await wait(sandbox, exec, flags));
    });
};
