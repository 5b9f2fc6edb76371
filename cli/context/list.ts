import { localContext, readContexts } from "../../client/index.ts";
import { type ListingFlags, printListing } from "../format/listing.ts";
import { formatTable } from "../format/table.ts";

/** `thaw context ls`: asks nobody. */
export function list(flags: ListingFlags): void {
  const { current, remotes } = readContexts();
  const here = {
    name: localContext,
    url: null,
    thaw: null,
    tokenFile: null,
    current: current === localContext,
  };
  const others = [...remotes.values()].map((remote) => ({
    ...{ name: remote.name, url: remote.url },
    ...(remote.by === "ssh"
      ? { thaw: remote.thaw ?? null, tokenFile: null }
      : { thaw: null, tokenFile: remote.tokenFile }),
    current: remote.name === current,
  }));
  const all = [here, ...others];
  const rows = all.map(({ name, url, thaw, tokenFile, current }) => [
    current ? "*" : " ",
    name,
    url ?? "this host",
    thaw ?? tokenFile ?? "",
  ]);
  printListing(all, flags, {
    nameOf: ({ name }) => name,
    format: () => formatTable([" ", "NAME", "HOST", "THAW, TOKEN"], rows),
  });
}
