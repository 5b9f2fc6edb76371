import { InvalidArgumentError } from "commander";
import type { Define } from "../verbs.ts";
import type { EventsFlags } from "./events.ts";

function parseId(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It is not an event's id.");
}

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox]", "only events of this sandbox and of its execs")
    .option("--follow", "keep printing as more comes")
    .option("--since <id>", "only events after this id", parseId)
    .option("--json", "print each event as a line of JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw events --follow\n  $ thaw events web --since 120 --json")
    .action(async (sandbox: string | undefined, flags: EventsFlags) => {
      const { events } = await import("./events.ts");
      await events(sandbox, flags);
      exit(0);
    });
};
