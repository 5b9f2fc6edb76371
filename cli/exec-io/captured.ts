import type { ExecInfo } from "../../client/index.ts";
import { formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatCommand, formatEnd } from "../format/ending.ts";
import { styleErr, writeErr } from "../output.ts";

/** Says what became of the capture that was asked for: how to replay it, or why there is none. */
export function sayCaptured(exec: ExecInfo): void {
  const { captured, argv, exit } = exec;
  if (captured === null) return;
  if ("error" in captured) {
    writeErr(`${styleErr("yellow", "thaw:")} not captured: ${cleanText(captured.error)}\n`);
    return;
  }
  const after = exit === null ? "" : ` after ${formatElapsed(exit.durationMs)}`;
  writeErr(`${styleErr("red", "✗")} ${formatCommand(argv)} ${formatEnd(exit)}${after}\n`);
  // It has a size when it is stored, which nobody waits for: ls and show say it.
  writeErr(`  frozen as ${captured.id} (being stored) · replay: thaw replay ${captured.id}\n`);
}
