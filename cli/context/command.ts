import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";
import type { AddFlags } from "./add.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    `
A context is another host with thaw, reached with the system's ssh, or at its daemon's listener with a token. "local" is this machine. To choose a context for one command:
--context NAME before the verb, or the variable THAW_CONTEXT.

Examples:
  $ thaw context add ci-3 ssh://ann@ci-3.example.com
  $ thaw --context ci-3 ls`,
  );
  command
    .command("add")
    .description("give another host a name, and try to reach it")
    .argument("<name>", "lower-case letters, digits and dashes")
    .argument("<url>", "ssh://[USER@]HOST[:PORT], or https://HOST[:PORT]")
    .option("--thaw <command>", "the path of the thaw command on that host (default: thaw)")
    .option("--token-file <file>", "the file with the token, for https:// (thaw token create on that host)")
    .option("--ca-file <file>", "a PEM file with the authority of its certificate, for https://")
    .option("--no-check", "don't connect")
    .option("--force", "replace a context of that name")
    .option("--json", "print the daemon that answers as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ thaw context add ci-3 ssh://ann@ci-3.example.com:2222 --thaw /opt/thaw/bin/thaw\n  $ thaw context add ci-4 https://ci-4.example.com:7878 --token-file ~/.config/ci-4.token",
    )
    .action(async (name: string, url: string, flags: AddFlags) => {
      const { add } = await import("./add.ts");
      await add(name, url, flags);
      exit(0);
    });
  command
    .command("use")
    .description("let commands use this host from now on; local is this machine")
    .argument("<name>", "a context, or local")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw context use ci-3")
    .action(async (name: string, flags: JsonFlag) => {
      const { use } = await import("./change.ts");
      await use(name, flags);
      exit(0);
    });
  addListingFlags(command.command("ls").description("list contexts; * is the one in use"), "them", "names")
    .addHelpText("after", "\nExample:\n  $ thaw context ls --json")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      list(flags);
      exit(0);
    });
  command
    .command("rm")
    .description("remove contexts; nothing changes on the hosts")
    .argument("<name...>", "contexts")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw context rm ci-3")
    .action(async (names: string[], flags: JsonFlag) => {
      const { remove } = await import("./change.ts");
      await remove(names, flags);
      exit(0);
    });
};
