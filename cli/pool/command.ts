import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    "\nA pool keeps machines ready: thawed, warmed up and paused. run and create claim one in a few milliseconds.\n\nExamples:\n  $ thaw config set pool.base 2\n  $ thaw pool ls",
  );
  addListingFlags(command.command("ls").description("list the pools of this host"), "the pools")
    .addHelpText(
      "after",
      "\nHITS are sandboxes that were claimed from the pool, MISSES those that found it empty; both count from the daemon's start.\n\nExample:\n  $ thaw pool ls",
    )
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
};
