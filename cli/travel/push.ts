import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import {
  encryptTo,
  openStore,
  type ProgressOptions,
  type Pushed,
  push,
  type Store,
  type Thaw,
  ThawError,
} from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { describeDiskAge } from "../format/disk-age.ts";
import { formatSize } from "../format/size.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";
import { Meter } from "../progress/meter.ts";
import { writeProgress } from "../progress/quiet.ts";
import { createReporter } from "../progress/reporter.ts";
import type { WriteFlags } from "./flags.ts";
import { describeSending } from "./sending.ts";

type Kind = "capture" | "snapshot";

/** `thaw capture push`, `thaw snapshot push`: prints what to pull it by. */
export async function pushTo(
  kind: Kind,
  reference: string,
  to: string,
  flags: WriteFlags & { json?: boolean },
): Promise<void> {
  using interrupt = abortOnSignals();
  await using opened = await openStore(to, { plainHttp: flags.plainHttp === true, write: true });
  const { store, tag, policy } = opened;
  if (tag?.startsWith("sha256:"))
    throw new ThawError("usage", "a push goes to a tag, not to a digest", { hint: `${store.name}:TAG` });
  const recipients = [...policy.encryptTo, ...(flags.encryptTo ?? [])];
  const pushed = await carry(kind, reference, store, { ...flags, recipients, tag, signal: interrupt.signal });
  if (flags.json === true) printJson({ ...pushed, reference: `${store.name}:${pushed.tag}` });
  else writeOut(`${store.name}:${pushed.tag}\n`);
}

/** `thaw capture export`, `thaw snapshot export`: prints the file. */
export async function exportTo(
  kind: Kind,
  reference: string,
  file: string,
  flags: WriteFlags & { json?: boolean },
): Promise<void> {
  if ((await stat(file).catch(() => null)) !== null)
    throw new ThawError("usage", `${file} is there already`, { hint: "name another file" });
  // Before there is a file to remove.
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const { ArchiveWriter } = await import("../../client/index.ts");
  await using store = await ArchiveWriter.create(resolve(file));
  const pushed = await carry(kind, reference, store, {
    ...flags,
    recipients: flags.encryptTo ?? [],
    signal,
  });
  if (flags.json === true) printJson({ ...pushed, file });
  else writeOut(`${file}\n`);
}

async function carry(
  kind: Kind,
  reference: string,
  store: Store,
  options: WriteFlags & {
    recipients: readonly string[];
    tag?: string | undefined;
    json?: boolean;
    signal: AbortSignal;
  },
): Promise<Pushed> {
  const encryption = await encryptTo(options.recipients);
  return withClient(async (client) => {
    using reporter = createReporter(options);
    using meter = new Meter(store.name, { lines: options.json !== true });
    const { signal } = options;
    const onProgress = reporter.show.bind(reporter);
    if (kind === "capture" && options.diskOnly === true && options.json !== true) {
      const note = describeDiskAge(await client.captures.get(reference, { signal }));
      if (note !== null) writeErr(`${styleErr("yellow", "thaw:")} ${note}\n`);
    }
    const from =
      options.full === true ? await makeWhole(client, reference, { signal, onProgress }) : reference;
    const pushed = await push(client, store, kind, from, {
      ...{ tag: options.tag, encryption, signal, onProgress },
      publish: { diskOnly: options.diskOnly, allow: options.allowSecrets },
      onBegin: (sending) => {
        meter.total = sending.reduce((sum, { sendBytes }) => sum + sendBytes, 0);
        if (options.json !== true) writeProgress(`thaw: ${describeSending(sending)}\n`);
      },
      onBytes: (bytes) => {
        meter.bytes += bytes;
      },
    });
    await store.finish();
    reporter[Symbol.dispose]();
    meter[Symbol.dispose]();
    if (options.json !== true) {
      const there = pushed.presentBytes === 0 ? "" : `, ${formatSize(pushed.presentBytes)} were there`;
      writeProgress(
        `thaw: ${pushed.id}: ${formatSize(pushed.sentBytes)} sent${there}${pushed.encrypted ? ", encrypted" : ""}\n`,
      );
    }
    return pushed;
  });
}

async function makeWhole(client: Thaw, reference: string, options: ProgressOptions): Promise<string> {
  const { id } = await client.captures.makeWhole(reference, options);
  return id;
}
