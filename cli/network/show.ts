import type { NetworkState } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

const MODES = {
  none: "nothing but what is allowed below",
  open: "every public address; private ones stay closed unless allowed below",
  audit: "every public address, and each is noted; private ones stay closed unless allowed below",
} as const;

export function formatNetwork({ policy, maximum, unavailable, destinations, totals }: NetworkState): string {
  const rows = policy.rules.map(({ action, rule, from }) => [action, cleanText(rule), cleanText(from)]);
  const seen = destinations.map(({ destination, port, verdict, count, sent, received, processes }) => [
    ...[cleanText(`${destination}:${port}`), verdict, String(count), formatSize(sent), formatSize(received)],
    cleanText(processes.join(", ")),
  ]);
  const parts = [
    `network: ${policy.mode} (${cleanText(policy.from)}): ${MODES[policy.mode]}\n`,
    ...(unavailable === null ? [] : [`not available: ${cleanText(unavailable)}\n`]),
    ...(rows.length === 0 ? [] : [`\n${formatTable(["ACTION", "RULE", "FROM"], rows)}`]),
    ...(maximum === null
      ? []
      : [
          `\nthis host allows at most: ${maximum.mode}${maximum.rules.map(({ action, rule }) => `, ${action} ${rule}`).join("")} (config.yaml)\n`,
        ]),
    ...(seen.length === 0
      ? []
      : [`\n${formatTable(["DESTINATION", "VERDICT", "COUNT", "SENT", "RECEIVED", "PROCESS"], seen)}`]),
    ...(totals.dropped === 0 ? [] : [`\n${totals.dropped} log lines were too many to keep\n`]),
  ];
  return parts.join("");
}

/** `thaw network show`. */
export async function show(name: string, flags: { json?: boolean }): Promise<void> {
  const state = await withClient((client) => client.sandboxes.at(name).network.state());
  if (flags.json === true) printJson(state);
  else writeOut(formatNetwork(state));
}
