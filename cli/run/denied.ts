import type { NetworkSummary } from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

/** Says of a failed run what it was kept from, and which rule would have allowed it, or why none would. */
export function sayDenied(denied: readonly NetworkSummary[]): void {
  for (const { destination, port, count, processes, rule, reason } of denied) {
    const by = processes.length === 0 ? "" : `, ${processes.join(", ")}`;
    const what = cleanText(`${destination}:${port} (${count}×${by})`);
    const cure = rule === null ? reason : `allow it with --allow ${rule}`;
    writeErr(`${styleErr("yellow", "denied:")} ${what} · ${cleanText(cure)}\n`);
  }
}
