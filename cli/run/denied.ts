import type { NetworkSummary } from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

/** Says of a failed run what it was kept from, and which rule would have allowed it. */
export function sayDenied(denied: readonly NetworkSummary[]): void {
  for (const { destination, port, count, processes, rule } of denied) {
    const by = processes.length === 0 ? "" : `, ${processes.join(", ")}`;
    const what = cleanText(`${destination}:${port} (${count}×${by})`);
    writeErr(
      `${styleErr("yellow", "denied:")} ${what} · allow it with --allow ${cleanText(rule ?? destination)}\n`,
    );
  }
}
