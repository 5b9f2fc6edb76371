import type { NetworkEntry } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { styleOut, writeOut } from "../output.ts";

export interface LogFlags {
  follow?: boolean;
  denied?: boolean;
  json?: boolean;
}

export function formatEntry(entry: NetworkEntry): string {
  const { time, verdict, name, address, port, process, protocol, sent, received, reason } = entry;
  const clock = new Date(time).toTimeString().slice(0, 8);
  const colour = verdict === "denied" ? "red" : verdict === "failed" ? "yellow" : "green";
  const what = `${name ?? address}:${port}`;
  const bytes = verdict === "denied" ? "" : ` ${formatSize(sent)} out ${formatSize(received)} in`;
  const why = verdict === "denied" || verdict === "failed" ? `  ${cleanText(reason)}` : "";
  const line = `${cleanText(what)} ${protocol}${process === null ? "" : ` by ${cleanText(process)}`}${bytes}`;
  return `${clock}  ${styleOut(colour, verdict.padEnd(7))}  ${line}${why}`;
}

/** `thaw network log`. */
export async function log(name: string, flags: LogFlags): Promise<void> {
  const { follow = false, denied = false, json = false } = flags;
  using interrupt = abortOnSignals();
  await withClient(async (client) => {
    const entries = client.sandboxes.at(name).network.log({ follow, denied, signal: interrupt.signal });
    for await (const entry of entries)
      writeOut(json ? `${JSON.stringify(entry)}\n` : `${formatEntry(entry)}\n`);
  });
}
