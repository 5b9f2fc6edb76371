import { Option } from "commander";
import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";
import type { CreateFlags } from "./create.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    `
The daemon can serve its API over TCP (listen in config.yaml, or thaw daemon start --listen). Each client there needs a token.

Examples:
  $ thaw token create --name ann --rights operate > ann.token
  $ thaw token ls
  $ thaw token rm ann`,
  );
  command
    .command("create")
    .description("make a token and print it: it is shown only this once")
    .requiredOption("--name <name>", "whose it is; the audit log shows this name")
    .addOption(
      new Option(
        "--rights <rights>",
        "read: see everything; operate: also create, change and remove; admin: also host settings and tokens",
      )
        .choices(["read", "operate", "admin"])
        .makeOptionMandatory(),
    )
    .option("--ttl <duration>", "the token ends after this time, e.g. 30d (default: never)")
    .option("--json", "print the token and what is known of it as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw token create --name ci --rights operate --ttl 90d > ci.token")
    .action(async (flags: CreateFlags) => {
      const { create } = await import("./create.ts");
      await create(flags);
      exit(0);
    });
  addListingFlags(
    command.command("ls").description("list the tokens and the sessions of browsers"),
    "the tokens",
  )
    .addHelpText("after", "\nExample:\n  $ thaw token ls --json")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("rm")
    .description("end tokens or sessions, and what was made or opened with them")
    .argument("<token...>", "names or ids")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw token rm ci")
    .action(async (tokens: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(tokens, (client, token) => client.tokens.revoke(token), flags));
    });
};
