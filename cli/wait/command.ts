import { InvalidArgumentError } from "commander";
import { ThawError } from "../../client/index.ts";
import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";
import type { WaitFlags } from "./wait.ts";

function parseFor(text: string): "stopped" | "removed" | "exec" {
  if (text === "stopped" || text === "removed" || text === "exec") return text;
  throw new InvalidArgumentError("Write stopped, removed, or exec with an exec's id.");
}

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "its name, id, or the unique beginning of an id")
    .argument("[exec]", "with --for exec: the exec's id")
    .option("--for <what>", "stopped (or failed, or removed), removed, or exec", parseFor, "stopped")
    .option("--timeout <duration>", "give up after this long (exit code 124)", parseDuration)
    .option("--json", "print what became of it as JSON")
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
