import { findInStore, type OutlineCheck, openStore, readOutlines } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import type { ReadFlags } from "./flags.ts";

/** A check here, and of the other contexts those whose host can do what this one can't. */
export interface StoreCheck extends OutlineCheck {
  resumesIn: string[];
}

/**
 * What could be made here of a capture in a store; where its memory can't go on here, also which context it could in. Fetches its manifest and
 * outline, and its base's, and nothing else.
 */
export async function checkInStore(reference: string, flags: ReadFlags): Promise<StoreCheck> {
  await using opened = await openStore(reference, { plainHttp: flags.plainHttp === true, write: false });
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const packed = await findInStore(opened.store, "capture", opened.tag, signal);
  const { outline, base } = await readOutlines(opened.store, packed, signal);
  const report = await withClient((client) => client.captures.checkOutline(outline, base, { signal }));
  if (report.best === "memory") return { ...report, resumesIn: [] };
  const { askEveryContext } = await import("../every-context.ts");
  const answers = await askEveryContext(signal, (client, late) =>
    client.captures.checkOutline(outline, base, { signal: late }),
  );
  const able = answers.filter((answer) => answer.error === undefined && answer.value.best === "memory");
  return { ...report, resumesIn: able.map(({ context }) => context) };
}
