import { addNetworkFlags, type NetworkFlags } from "../arguments/network.ts";
import type { Define } from "../verbs.ts";
import type { LogFlags } from "./log.ts";

type JsonFlag = { json?: boolean };
const sandbox = "the sandbox, by its name or id";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw network show web");
  command
    .command("show")
    .description(
      "print a sandbox's network policy with the origin of each rule, and the destinations that it reached",
    )
    .argument("<sandbox>", sandbox)
    .option("--json", "print it as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw network show web")
    .action(async (name: string, flags: JsonFlag) => {
      const { show } = await import("./show.ts");
      await show(name, flags);
      exit(0);
    });
  addNetworkFlags(
    command
      .command("set")
      .description(
        "change a sandbox's network policy while it runs; connections that are no longer allowed end",
      )
      .argument("<sandbox>", sandbox),
  )
    .option("--json", "print the policy in force as JSON")
    .addHelpText(
      "after",
      "\nReplaces the sandbox's earlier rules; the host's defaults stay.\n\nExample:\n  $ thaw network set web --allow @npm --allow api.example.com",
    )
    .action(async (name: string, flags: NetworkFlags & JsonFlag) => {
      const { set } = await import("./set.ts");
      await set(name, flags);
      exit(0);
    });
  command
    .command("log")
    .description("print the connections of a sandbox, each when it has ended")
    .argument("<sandbox>", sandbox)
    .option("-f, --follow", "keep printing as more comes")
    .option("--denied", "only denied connections")
    .option("--json", "print entries as lines of JSON")
    .addHelpText("after", "\nExample:\n  $ thaw network log web -f --denied")
    .action(async (name: string, flags: LogFlags) => {
      const { log } = await import("./log.ts");
      await log(name, flags);
      exit(0);
    });
  command
    .command("suggest")
    .description("print the smallest policy that allows what a sandbox or a captured failure tried to reach")
    .argument("<sandbox|capture>", "a sandbox or a capture")
    .option("--json", "print the rules as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw network suggest web")
    .action(async (reference: string, flags: JsonFlag) => {
      const { suggest } = await import("./suggest.ts");
      await suggest(reference, flags);
      exit(0);
    });
};
