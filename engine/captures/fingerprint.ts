/** What two failures of one cause have in common: the way it ended and the last words, without what changes from run to run. */
import type { Trigger } from "../../api/closed-lists.ts";
import { withoutVarying } from "../../api/last-lines.ts";
import { sha256 } from "../../durable/digest.ts";

const LAST_LINES = 20;

export interface FailureShape {
  trigger: Trigger;
  argv: readonly string[];
  code: number | null;
  signal: string | null;
  lines: readonly string[];
}

/** 12 hex digits. */
export function fingerprint({ trigger, argv, code, signal, lines }: FailureShape): string {
  const words = lines
    .map(withoutVarying)
    .filter((line) => line !== "")
    .slice(-LAST_LINES);
  return sha256(JSON.stringify([trigger, argv, code, signal, words])).slice(0, 12);
}
