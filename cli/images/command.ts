import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  addListingFlags(command, "the snapshots")
    .addHelpText("after", "\nThe same as thaw snapshot ls.\n\nExample:\n  $ thaw images")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("../snapshot/list.ts");
      await list(flags);
      exit(0);
    });
};
