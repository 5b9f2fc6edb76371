import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw cache ls");
  addListingFlags(command.command("ls").description("list the cached folders of runs"), "the caches")
    .addHelpText("after", "\nExample:\n  $ thaw cache ls --json")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("rm")
    .description("remove caches; sandboxes that use a cached folder keep their copy")
    .argument("<cache...>", "ids")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw cache rm 4f1c0a9be2d37786")
    .action(async (caches: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(caches, (client, cache) => client.caches.remove(cache), flags));
    });
};
