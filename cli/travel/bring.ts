import { defined } from "../../api/defined.ts";
import { isStoreReference, type Pulled, type Thaw } from "../../client/index.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { formatSize } from "../format/size.ts";
import { Meter } from "../progress/meter.ts";
import { writeProgress } from "../progress/quiet.ts";
import { createReporter } from "../progress/reporter.ts";
import type { ReadFlags } from "./flags.ts";

/**
 * A name as the daemon's host knows it: what lies in a store is fetched first, as far as it is not on the host.
 * @throws ThawError what fetching throws; Interrupted.
 */
export async function bring(
  client: Thaw,
  kind: "capture" | "snapshot",
  reference: string,
  flags: ReadFlags & { json?: boolean },
): Promise<string> {
  return isStoreReference(reference) ? (await fetchFrom(client, kind, reference, flags)).id : reference;
}

/** A source whose snapshot is on the daemon's host, as a part of a request; nothing where there is none. */
export async function bringSource<S extends { snapshot?: string | undefined }>(
  client: Thaw,
  source: S | undefined,
  flags: ReadFlags & { json?: boolean },
): Promise<{ source?: S }> {
  if (source?.snapshot === undefined) return defined({ source });
  return { source: { ...source, snapshot: await bring(client, "snapshot", source.snapshot, flags) } };
}

/** Fetches it and says so in one line. */
export async function fetchFrom(
  client: Thaw,
  kind: "capture" | "snapshot",
  reference: string,
  flags: ReadFlags & { json?: boolean },
): Promise<Pulled> {
  const { findInStore, openStore, pull } = await import("../../client/index.ts");
  await using opened = await openStore(reference, { plainHttp: flags.plainHttp === true, write: false });
  using interrupt = abortOnSignals();
  using reporter = createReporter(flags);
  using meter = new Meter(reference, { lines: flags.json !== true });
  const { signal } = interrupt;
  const packed = await findInStore(opened.store, kind, opened.tag, signal);
  const pulled = await pull(client, opened.store, packed, {
    ...{ identity: flags.identity, signal },
    onProgress: (progress) => reporter.show(progress),
    onBegin: ({ bytes }) => {
      meter.total = (meter.total ?? 0) + bytes;
    },
    onBytes: (bytes) => {
      meter.bytes += bytes;
    },
  });
  reporter[Symbol.dispose]();
  meter[Symbol.dispose]();
  if (flags.json !== true) {
    const what =
      pulled.present && pulled.fetchedBytes === 0
        ? "is here already"
        : `${formatSize(pulled.fetchedBytes)} fetched from ${opened.store.name}`;
    writeProgress(`thaw: ${pulled.id}: ${what}\n`);
  }
  return pulled;
}
