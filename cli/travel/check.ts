import type { OutlineCheck } from "../../client/index.ts";
import { openStore } from "../../client/stores/open.ts";
import { find, readOutlines } from "../../client/stores/pull.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import type { ReadFlags } from "./flags.ts";

/** What could be made here of a capture in a store. Fetches its manifest and outline, and its base's, and nothing else. */
export async function checkInStore(reference: string, flags: ReadFlags): Promise<OutlineCheck> {
  await using opened = await openStore(reference, { plainHttp: flags.plainHttp === true, write: false });
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const packed = await find(opened.store, "capture", opened.tag, signal);
  const { outline, base } = await readOutlines(opened.store, packed, signal);
  return withClient((client) => client.checkOutline(outline, base, { signal }));
}
