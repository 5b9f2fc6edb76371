/** What two failures of one cause have in common: the way it ended and the last words, without what changes from run to run. */
import type { Trigger } from "../../api/closed-lists.ts";
import { sha256 } from "../../durable/digest.ts";

const LAST_LINES = 20;
/** What varies: terminal colours, lengths of masked values, addresses and digests, temporary paths, numbers. */
const VARYING: readonly [RegExp, string][] = [
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  [/\u001b\[[0-9;?]*[ -/]*[@-~]/g, ""],
  [/\*{3,}/g, "***"],
  [/0x[0-9a-f]+/gi, "ADDRESS"],
  [/\b[0-9a-f]{7,64}\b/gi, "DIGEST"],
  [/\/tmp\/[^\s:'"]+/g, "/tmp/…"],
  [/\d+/g, "N"],
];

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
    .map((line) => VARYING.reduce((text, [pattern, by]) => text.replace(pattern, by), line).trim())
    .filter((line) => line !== "")
    .slice(-LAST_LINES);
  return sha256(JSON.stringify([trigger, argv, code, signal, words])).slice(0, 12);
}
