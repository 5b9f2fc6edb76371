import { localContext, readContexts } from "../../client/index.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";

/** `thaw context ls`: asks nobody. */
export function list(flags: ListingFlags): void {
  const { current, remotes } = readContexts();
  const here = { name: localContext, url: null, thaw: null, current: current === localContext };
  const others = [...remotes.values()].map(({ name, url, thaw = null }) => ({
    ...{ name, url, thaw },
    current: name === current,
  }));
  const all = [here, ...others];
  const rows = all.map(({ name, url, thaw, current }) => [
    current ? "*" : " ",
    name,
    url ?? "this host",
    thaw ?? "",
  ]);
  printListing(all, flags, {
    nameOf: ({ name }) => name,
    format: () => formatTable([" ", "NAME", "HOST", "THAW"], rows),
  });
}
