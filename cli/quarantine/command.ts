import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";

type JsonFlag = { json?: boolean };
const entry = "ids as `thaw quarantine ls` prints them, or ids of the sandboxes, snapshots or captures";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw quarantine ls");
  addListingFlags(
    command
      .command("ls")
      .description("list quarantined state, each entry with the reason why it could not be read"),
    "the entries",
  )
    .addHelpText("after", "\nExample:\n  $ thaw quarantine ls --json")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("restore")
    .description("move entries back to their original place and read them again")
    .argument("<entry...>", entry)
    .option("--json", "print the entries as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw quarantine restore fail-7k2qxz")
    .action(async (entries: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(entries, (client, id) => client.quarantine.restore(id), flags));
    });
  command
    .command("rm")
    .description("delete entries permanently")
    .argument("<entry...>", entry)
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw quarantine rm draft/fail-7k2qxz-20261125T223346123Z")
    .action(async (entries: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(entries, (client, id) => client.quarantine.remove(id), flags));
    });
};
